//! The macro behind every enumeration that has a byte on the wire.

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $wire:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $wire,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The byte on the wire.
            #[inline]
            pub const fn wire(self) -> u8 {
                match self { $($name::$variant => $wire,)+ }
            }

            /// The value of a byte on the wire, or `None` for a byte that has none.
            #[inline]
            pub const fn from_wire(byte: u8) -> Option<$name> {
                match byte { $($wire => Some($name::$variant),)+ _ => None }
            }
        }
    };
}

pub(crate) use wire_enum;
