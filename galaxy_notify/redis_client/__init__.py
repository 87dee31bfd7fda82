"""The Redis connection: connections, pools, topology, running calls, faults. Knows no route."""
