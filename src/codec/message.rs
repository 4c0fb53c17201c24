//! What every message has in common, and the macro that ties a struct to its generated codec.

use std::fmt;

/// Bytes of the SBE message header (SBE 1.0 section 3.1).
pub const HEADER_BYTES: usize = 8;

/// A message that can be put into and taken from bytes.
pub trait Message: Copy + fmt::Debug {
    /// SBE template id.
    const TEMPLATE: u16;
    /// Bytes of header and block.
    const BYTES: usize;

    /// Writes the message, header first, to the start of `buf`. Costs a few nanoseconds.
    ///
    /// # Panics
    /// If `buf` is shorter than [`Message::BYTES`].
    fn encode(&self, buf: &mut [u8]);
}

/// Why bytes are not a message. The number is stable: it is sent as `BusinessRejectReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum DecodeError {
    /// Shorter than its header, or than its block.
    Truncated = 1,
    /// Another schema.
    WrongSchema = 2,
    /// A schema version from the future.
    FutureVersion = 3,
    /// No such template in this schema.
    UnknownTemplate = 4,
    /// The block is not as long as this version's.
    BlockLength = 5,
    /// More bytes than the message has.
    TrailingBytes = 6,
    /// An enumerated field holds no known value.
    BadEnum = 7,
}

impl DecodeError {
    /// Every error.
    pub const ALL: [DecodeError; 7] = [
        DecodeError::Truncated,
        DecodeError::WrongSchema,
        DecodeError::FutureVersion,
        DecodeError::UnknownTemplate,
        DecodeError::BlockLength,
        DecodeError::TrailingBytes,
        DecodeError::BadEnum,
    ];

    /// The stable number.
    #[inline]
    pub const fn code(self) -> u16 {
        #[allow(clippy::as_conversions, reason = "the discriminant of a repr(u16) enum")]
        {
            self as u16
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecodeError::Truncated => "message is cut short",
            DecodeError::WrongSchema => "message is of another schema",
            DecodeError::FutureVersion => {
                "message is of a newer schema version than this build knows"
            }
            DecodeError::UnknownTemplate => "no such template in the schema",
            DecodeError::BlockLength => "block length does not fit the schema version",
            DecodeError::TrailingBytes => "message is followed by bytes that do not belong to it",
            DecodeError::BadEnum => "an enumerated field holds no known value",
        })
    }
}

impl std::error::Error for DecodeError {}

/// The SBE header of `bytes`: block length, template, schema, version.
#[inline]
pub(super) fn header(bytes: &[u8]) -> Result<[u16; 4], DecodeError> {
    let Some(&[a, b, c, d, e, f, g, h]) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(DecodeError::Truncated);
    };
    Ok([[a, b], [c, d], [e, f], [g, h]].map(u16::from_le_bytes))
}

/// The template id in the header of `bytes`, unchecked otherwise; `None` where there is no whole header.
#[inline]
pub fn template_of(bytes: &[u8]) -> Option<u16> {
    header(bytes).ok().map(|[_, template, _, _]| template)
}

/// The body of a message whose header says `block_bytes` and `version`, where this build knows `own_block_bytes` and
/// `own_version`.
#[inline]
pub(super) fn body(
    bytes: &[u8],
    [block_bytes, _, schema, version]: [u16; 4],
    own: (u16, u16, u16),
) -> Result<&[u8], DecodeError> {
    let (own_block_bytes, own_schema, own_version) = own;
    if schema != own_schema {
        return Err(DecodeError::WrongSchema);
    }
    if version > own_version {
        return Err(DecodeError::FutureVersion);
    }
    if block_bytes != own_block_bytes {
        return Err(DecodeError::BlockLength);
    }
    let body = bytes.get(HEADER_BYTES..).ok_or(DecodeError::Truncated)?;
    match body.len().cmp(&usize::from(own_block_bytes)) {
        std::cmp::Ordering::Less => Err(DecodeError::Truncated),
        std::cmp::Ordering::Greater => Err(DecodeError::TrailingBytes),
        std::cmp::Ordering::Equal => Ok(body),
    }
}

/// Declares the messages of one schema: a struct each, and an enum of all of them with `decode`.
///
/// A field is `name: Type` where `Type` converts to and from what the generated codec uses (`wire.rs`), or
/// `#bytes name: [u8; N]` for an array.
macro_rules! messages {
    (
        schema $schema:ident;
        $(#[$all_doc:meta])* enum $all:ident;
        $(
            $(#[$doc:meta])*
            $name:ident = $codec:ident :: $encoder:ident / $decoder:ident {
                $( $(#[$fdoc:meta])* $field:ident : $ty:ty, )*
                $( ; $( $(#[$bdoc:meta])* $bytes:ident : [u8; $n:literal], )+ )?
            }
        )+
    ) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name {
                $( $(#[$fdoc])* pub $field: $ty, )*
                $( $( $(#[$bdoc])* pub $bytes: [u8; $n], )+ )?
            }

            impl $crate::codec::Message for $name {
                const TEMPLATE: u16 = $schema::$codec::SBE_TEMPLATE_ID;
                #[allow(clippy::as_conversions, reason = "u16 to usize in a constant")]
                const BYTES: usize = $crate::codec::HEADER_BYTES + $schema::$codec::SBE_BLOCK_LENGTH as usize;

                #[inline]
                fn encode(&self, buf: &mut [u8]) {
                    use $crate::codec::wire::ToWire;
                    let (message, _) = buf.split_at_mut(Self::BYTES);
                    let (header, body) = message.split_at_mut($crate::codec::HEADER_BYTES);
                    let [b, t, s, v] = [
                        $schema::$codec::SBE_BLOCK_LENGTH,
                        $schema::$codec::SBE_TEMPLATE_ID,
                        $schema::SBE_SCHEMA_ID,
                        $schema::SBE_SCHEMA_VERSION,
                    ].map(u16::to_le_bytes);
                    header.copy_from_slice(&[b[0], b[1], t[0], t[1], s[0], s[1], v[0], v[1]]);
                    // Padding between fields is part of what is sent and journalled: never bytes of an earlier message.
                    body.fill(0);
                    let mut encoder = $schema::$codec::$encoder::default().wrap($schema::WriteBuf::new(body), 0);
                    $( encoder.$field(self.$field.to_raw()); )*
                    $( $( encoder.$bytes(&self.$bytes); )+ )?
                }
            }
        )+

        $(#[$all_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $all {
            $( $(#[$doc])* $name($name), )+
        }

        impl $all {
            /// Template ids and names of every message, in the order of the schema.
            pub const TEMPLATES: &'static [(u16, &'static str)] =
                &[$( ($schema::$codec::SBE_TEMPLATE_ID, stringify!($name)), )+];

            /// Reads the message that `bytes` are, all of them and nothing after.
            ///
            /// # Errors
            /// A [`DecodeError`](crate::codec::DecodeError) for any other bytes; never panics.
            #[inline]
            pub fn decode(bytes: &[u8]) -> Result<$all, $crate::codec::DecodeError> {
                use $crate::codec::wire::FromWire;
                let header @ [block_bytes, template, schema, version] = $crate::codec::message::header(bytes)?;
                if schema != $schema::SBE_SCHEMA_ID {
                    return Err($crate::codec::DecodeError::WrongSchema);
                }
                if version > $schema::SBE_SCHEMA_VERSION {
                    return Err($crate::codec::DecodeError::FutureVersion);
                }
                match template {
                    $(
                        $schema::$codec::SBE_TEMPLATE_ID => {
                            let own = (
                                $schema::$codec::SBE_BLOCK_LENGTH,
                                $schema::SBE_SCHEMA_ID,
                                $schema::SBE_SCHEMA_VERSION,
                            );
                            let body = $crate::codec::message::body(bytes, header, own)?;
                            let decoder = $schema::$codec::$decoder::default()
                                .wrap($schema::ReadBuf::new(body), 0, block_bytes, version);
                            Ok($all::$name($name {
                                $( $field: <$ty as FromWire<_>>::from_raw(decoder.$field())?, )*
                                $( $( $bytes: decoder.$bytes(), )+ )?
                            }))
                        }
                    )+
                    _ => Err($crate::codec::DecodeError::UnknownTemplate),
                }
            }

            /// Writes the message to the start of `buf` and returns its size in bytes.
            ///
            /// # Panics
            /// If `buf` is shorter than the message.
            #[inline]
            pub fn encode(&self, buf: &mut [u8]) -> usize {
                match self {
                    $( $all::$name(message) => {
                        $crate::codec::Message::encode(message, buf);
                        <$name as $crate::codec::Message>::BYTES
                    } )+
                }
            }
        }

        $(
            impl From<$name> for $all {
                #[inline]
                fn from(message: $name) -> $all {
                    $all::$name(message)
                }
            }
        )+
    };
}

pub(super) use messages;
