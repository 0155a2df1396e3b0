"""API Priority and Fairness: which requests are served now, which wait, which are turned away.

Follows KEP-1040 and apiserver's util/flowcontrol. One event loop serves all requests, so a request
that is answered at once keeps nobody waiting and occupies its seat for no time; what occupies seats
is what waits itself: for a commit, for a webhook, for a client that takes its answer slowly.
"""
