"""The gallery of the documentation: every picture and page that the commands make, by one command."""
