//! The `postern` command.

use postern::runtime::GuardedAllocator;

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

fn main() {}
