//! Units of the ring: boundaries, claims, positions, memory.
