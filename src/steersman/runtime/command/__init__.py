"""`steer-runtime`: runc's command line, for one container at a time.

Not for the node, whose containers come from the warm parent. A verb is a thin call of `cold`
(what a container's life is made of) or `control` (what is done to one that runs).
"""
