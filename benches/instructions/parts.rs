//! The modules of `postern` that reading a feed into books takes, and the day that is read. Each file is the one that ships.

#![allow(dead_code, reason = "only the rest of `postern` uses it")]

/// As in `postern`.
#[path = "../../src/feed"]
pub mod feed {
    mod digest;
    mod levels;
    mod order_table;

    pub mod book;
    pub mod itch50;
    pub mod lookahead;
    pub mod moldudp64;
    pub mod packet;

    pub use digest::BookDigest;
}

/// As in `postern`.
#[path = "../../src/runtime"]
pub mod runtime {
    mod lanes;
    mod large;
    mod prefetch;

    pub use lanes::lanes_equal;
    pub use large::{ask_for_large_pages, table as large_table};
    pub use prefetch::prefetch;
}

/// As in `postern`.
#[path = "../../src/sim"]
pub mod sim {
    pub mod day;
    pub mod prng;
}

#[path = "../../src/types/mod.rs"]
pub mod types;
