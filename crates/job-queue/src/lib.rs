//! A durable job queue with priorities, leases and fencing, over a store of your choice.
