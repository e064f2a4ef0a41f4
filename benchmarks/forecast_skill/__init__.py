"""Learned peers and the mixture of experts, trained for equal times on the same stream.

    python -m benchmarks.forecast_skill train --models residual-mlp,moe --minutes 7,20,60 --output FOLDER
    python -m benchmarks.forecast_skill report FOLDER

``networks`` holds the peers, ``peer`` what they share (normalisation, loss), ``recipes`` how each is
trained, ``contestants`` who can enter, ``learner`` one training step and its state, ``schedule`` the
learning rate by the clock, ``race`` the trunk and its branches, ``scores`` and ``flops`` what is measured,
``records`` and ``report`` what is kept and shown.
"""
