//! How the program is attached and how frames get into the rings.

use std::fmt;

/// Where in the receive path the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// Behind the driver, on the kernel's own packets (`XDP_FLAGS_SKB_MODE`): with any driver.
    Generic,
    /// In the driver (`XDP_FLAGS_DRV_MODE`).
    Native,
}

impl AttachMode {
    pub(super) const fn flag(self) -> u32 {
        match self {
            AttachMode::Generic => 1 << 1,
            AttachMode::Native => 1 << 2,
        }
    }
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AttachMode::Generic => "generic",
            AttachMode::Native => "native",
        })
    }
}

/// Which mode is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WantedMode {
    /// The best there is: zero copy, else native, else generic.
    #[default]
    Auto,
    /// Native with rings that the interface itself writes to; nothing less.
    ZeroCopy,
    /// Native, the kernel copying between its memory and the rings.
    Native,
    /// Generic.
    Generic,
}

/// Which mode was had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Native, the interface itself writing to the rings.
    ZeroCopy,
    /// Native, the kernel copying.
    Native,
    /// Generic.
    Generic,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::ZeroCopy => "zero-copy",
            Mode::Native => "native",
            Mode::Generic => "generic",
        })
    }
}
