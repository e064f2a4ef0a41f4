/* Asking the server. The key, if it wants one, lives here and nowhere else. */

let key = "";

export const useKey = (text) => (key = text.trim());

export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/* The answer to a GET, or to a POST where a body is given. Throws ServerError with the server's own words. */
export const ask = async (path, { body = null, signal = null } = {}) => {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (body !== null) headers["Content-Type"] = "application/json";
  const method = body === null ? "GET" : "POST";
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body === null ? null : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, "The server does not answer; it may have been stopped.");
  }
  const content = await response.json().catch(() => null);
  if (response.ok && content !== null) return content;
  throw new ServerError(response.status, (content && content.error) || `The server answered ${response.status} without saying why.`);
};

/* A stream of pushes. Its listeners: opened(), answered(content), failed(message), closed(). */
export const openStream = ({ opened, answered, failed, closed }) => {
  const address = new URL("/v1/stream", window.location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const protocols = key ? ["m.stream", `m.key.${key}`] : ["m.stream"];
  let socket;
  try {
    socket = new WebSocket(address, protocols);
  } catch {
    failed("The key holds signs that a browser cannot send over a WebSocket.");
    closed();
    return null;
  }
  let wasOpen = false, left = false;
  socket.onopen = () => {
    wasOpen = true;
    opened();
  };
  socket.onmessage = (event) => {
    const content = JSON.parse(event.data);
    if (content.error !== undefined) failed(content.error);
    else answered(content);
  };
  socket.onclose = () => {
    if (!left) failed(wasOpen ? "The server closed the stream." : "The stream could not be opened; the server may want a key or be stopping.");
    closed();
  };
  return {
    send: (content) => socket.send(JSON.stringify(content)),
    close: () => {
      left = true;
      socket.close();
    },
  };
};
