#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum YesNo {
    No = 78_u8,
    Yes = 89_u8,
    #[default]
    NullVal = 0_u8,
}
impl From<u8> for YesNo {
    #[inline]
    fn from(v: u8) -> Self {
        match v {
            78_u8 => Self::No,
            89_u8 => Self::Yes,
            _ => Self::NullVal,
        }
    }
}
impl From<YesNo> for u8 {
    #[inline]
    fn from(v: YesNo) -> Self {
        match v {
            YesNo::No => 78_u8,
            YesNo::Yes => 89_u8,
            YesNo::NullVal => 0_u8,
        }
    }
}
impl core::str::FromStr for YesNo {
    type Err = ();

    #[inline]
    fn from_str(v: &str) -> core::result::Result<Self, Self::Err> {
        match v {
            "No" => Ok(Self::No),
            "Yes" => Ok(Self::Yes),
            _ => Ok(Self::NullVal),
        }
    }
}
impl core::fmt::Display for YesNo {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::No => write!(f, "No"),
            Self::Yes => write!(f, "Yes"),
            Self::NullVal => write!(f, "NullVal"),
        }
    }
}
