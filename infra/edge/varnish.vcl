# A Varnish in front of the origin: the regional tier behind edges, or an edge for videos that need no token.
# `python -m infra.edge.render varnish …` fills in @NAMES@. Needs varnish-modules (xkey).
#
# Every object carries its video's tag, so that a deleted video is gone from here at once: PURGE with the header
# `xkey-purge: {video id}`; `{video id}/manifest` for its manifests only.

vcl 4.1;

import std;
import xkey;

backend origin {
    .host = "@ORIGIN_HOST@";
    .port = "@ORIGIN_PORT@";
    .connect_timeout = 2s;
    .first_byte_timeout = 30s;
    .between_bytes_timeout = 15s;
    .max_connections = 512;
}

acl purgers {
    @PURGERS@
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ purgers) {
            return (synth(403));
        }
        set req.http.purged = xkey.purge(req.http.xkey-purge);
        return (synth(200, req.http.purged));
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    # Files to keep are large, and for one viewer.
    if (req.url ~ "^(/t/[^/]+)?/v/[^/]+/download/") {
        return (pipe);
    }
    # Tokens are checked by the origin, for each request: what comes with one is not kept here unless a trusted edge asks.
    if (req.url !~ "^/v/" || (req.url ~ "[?&]token=." && !req.http.Fishladder-Edge)) {
        return (pass);
    }
    unset req.http.Cookie;
    # What players report must not be part of the key.
    set req.url = regsuball(req.url, "([?&])CMCD=[^&]*&?", "\1");
    set req.url = regsub(req.url, "[?&]$", "");
    return (hash);
}

sub vcl_hash {
    # What a trusted edge may have is not for everybody.
    if (req.http.Fishladder-Edge) {
        hash_data(req.http.Fishladder-Edge);
    }
}

sub vcl_backend_response {
    set beresp.http.xkey = beresp.http.Surrogate-Key;
    if (beresp.status >= 500) {
        # Rather something old than an error.
        if (bereq.is_bgfetch) {
            return (abandon);
        }
        set beresp.uncacheable = true;
        return (deliver);
    }
    if (beresp.status == 200) {
        set beresp.grace = 24h;
        set beresp.keep = 24h;
    }
}

sub vcl_deliver {
    unset resp.http.xkey;
    if (obj.hits > 0) {
        set resp.http.X-Cache-Regional = "HIT";
    } else {
        set resp.http.X-Cache-Regional = "MISS";
    }
}
