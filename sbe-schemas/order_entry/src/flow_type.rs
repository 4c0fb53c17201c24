#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FlowType {
    Recoverable = 0x0_u8,
    Idempotent = 0x1_u8,
    Unsequenced = 0x2_u8,
    NoFlow = 0x3_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for FlowType {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::Recoverable,
            0x1_u8 => Self::Idempotent,
            0x2_u8 => Self::Unsequenced,
            0x3_u8 => Self::NoFlow,
            _ => Self::NullVal,
        }
    }
}
impl From<FlowType> for u8 {
    #[inline]
    fn from(v: FlowType) -> Self {
        match v {
            FlowType::Recoverable => 0x0_u8,
            FlowType::Idempotent => 0x1_u8,
            FlowType::Unsequenced => 0x2_u8,
            FlowType::NoFlow => 0x3_u8,
            FlowType::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for FlowType {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "Recoverable" => Ok(Self::Recoverable),
            "Idempotent" => Ok(Self::Idempotent),
            "Unsequenced" => Ok(Self::Unsequenced),
            "NoFlow" => Ok(Self::NoFlow),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for FlowType {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Recoverable => write!(f, "Recoverable"),
            Self::Idempotent => write!(f, "Idempotent"),
            Self::Unsequenced => write!(f, "Unsequenced"),
            Self::NoFlow => write!(f, "NoFlow"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
