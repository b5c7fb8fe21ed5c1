"""Who asks, and what they may: keys, upload grants, sessions of browsers, capabilities.

`rules` says what a path needs, `doorkeeper` finds out who asks, `gate` lets a request pass or answers it before a byte of
its body is read. What passed finds its `Principal` in the scope: `caller_of`, or `Caller` as a dependency of a route.
"""

from upload_api.auth.principal import Caller, Principal, caller_of

__all__ = ["Caller", "Principal", "caller_of"]
