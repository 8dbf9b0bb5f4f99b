//! Files, sockets, timers and tasks on io_uring. The only folder that names the runtime.
