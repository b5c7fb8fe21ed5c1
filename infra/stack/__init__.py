"""The embedded stack: everything that `fishladder up` starts on one machine, and keeps alive.

============== =========================================================================================
`state`        the state folder: its lock, the ports and passwords it remembers, who runs
`ports`        which ports are free
`plan`         which parts there are, and what of them runs elsewhere already; decisions only
`preflight`    what must hold before anything is started, as sentences
`children`     starting a process so that it can be stopped, and can never be left behind
`watchdog`     a process of its own that ends the others if `up` dies
`parts`        what to start: Valkey, SeaweedFS, upload API, origin, workers
`supervisor`   start in order, wait until ready, restart with backoff, drain, stop
`up`           all of it together, and what is printed
============== =========================================================================================
"""
