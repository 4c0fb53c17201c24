#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DecisionKind {
    New = 0x0_u8,
    Cancel = 0x1_u8,
    Replace = 0x2_u8,
    #[default]
    NullVal = 0xff_u8,
}
impl From<u8> for DecisionKind {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            0x0_u8 => Self::New,
            0x1_u8 => Self::Cancel,
            0x2_u8 => Self::Replace,
            _ => Self::NullVal,
        }
    }
}
impl From<DecisionKind> for u8 {
    #[inline]
    fn from(v: DecisionKind) -> Self {
        match v {
            DecisionKind::New => 0x0_u8,
            DecisionKind::Cancel => 0x1_u8,
            DecisionKind::Replace => 0x2_u8,
            DecisionKind::NullVal => 0xff_u8,
        }
    }
}
impl core::str::FromStr for DecisionKind {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "New" => Ok(Self::New),
            "Cancel" => Ok(Self::Cancel),
            "Replace" => Ok(Self::Replace),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for DecisionKind {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::New => write!(f, "New"),
            Self::Cancel => write!(f, "Cancel"),
            Self::Replace => write!(f, "Replace"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
