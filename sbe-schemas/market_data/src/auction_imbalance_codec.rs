use crate::*;

pub use decoder::AuctionImbalanceDecoder;
pub use encoder::AuctionImbalanceEncoder;

pub use crate::SBE_SCHEMA_ID;
pub use crate::SBE_SCHEMA_VERSION;
pub use crate::SBE_SEMANTIC_VERSION;

pub const SBE_BLOCK_LENGTH: u16 = 62;
pub const SBE_TEMPLATE_ID: u16 = 10;

pub mod encoder {
    use super::*;
    use message_header_codec::*;

    #[derive(Debug, Default)]
    pub struct AuctionImbalanceEncoder<'a> {
        buf: WriteBuf<'a>,
        initial_offset: usize,
        offset: usize,
        limit: usize,
    }

    impl<'a> Writer<'a> for AuctionImbalanceEncoder<'a> {
        #[inline]
        fn get_buf_mut(&mut self) -> &mut WriteBuf<'a> {
            &mut self.buf
        }
    }

    impl<'a> Encoder<'a> for AuctionImbalanceEncoder<'a> {
        #[inline]
        fn get_limit(&self) -> usize {
            self.limit
        }

        #[inline]
        fn set_limit(&mut self, limit: usize) {
            self.limit = limit;
        }

        /// Set all optional fields to their 'null' values.
        #[inline]
        fn nullify_optional_fields(&mut self) -> &mut Self {
            self.reference_px_opt(None);
            self.near_px_opt(None);
            self.far_px_opt(None);
            self
        }
    }

    impl<'a> AuctionImbalanceEncoder<'a> {
        pub fn wrap(mut self, buf: WriteBuf<'a>, offset: usize) -> Self {
            let limit = offset + SBE_BLOCK_LENGTH as usize;
            self.buf = buf;
            self.initial_offset = offset;
            self.offset = offset;
            self.limit = limit;
            self
        }

        #[inline]
        pub const fn encoded_length(&self) -> usize {
            self.limit - self.offset
        }

        pub fn header(self, offset: usize) -> MessageHeaderEncoder<Self> {
            let mut header = MessageHeaderEncoder::default().wrap(self, offset);
            header.block_length(SBE_BLOCK_LENGTH);
            header.template_id(SBE_TEMPLATE_ID);
            header.schema_id(SBE_SCHEMA_ID);
            header.version(SBE_SCHEMA_VERSION);
            header
        }

        /// primitive field 'RptSeq'
        /// - min value: 0
        /// - max value: -2
        /// - null value: 0xffffffffffffffff_u64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 0
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn rpt_seq(&mut self, value: u64) -> &mut Self {
            let offset = self.offset;
            self.get_buf_mut().put_u64_at(offset, value);
            self
        }

        /// primitive field 'TransactTime'
        /// - min value: 0
        /// - max value: -2
        /// - null value: 0xffffffffffffffff_u64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 8
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn transact_time(&mut self, value: u64) -> &mut Self {
            let offset = self.offset + 8;
            self.get_buf_mut().put_u64_at(offset, value);
            self
        }

        /// primitive field 'PairedQty'
        /// - min value: 0
        /// - max value: -2
        /// - null value: 0xffffffffffffffff_u64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 16
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn paired_qty(&mut self, value: u64) -> &mut Self {
            let offset = self.offset + 16;
            self.get_buf_mut().put_u64_at(offset, value);
            self
        }

        /// primitive field 'ImbalanceQty'
        /// - min value: 0
        /// - max value: -2
        /// - null value: 0xffffffffffffffff_u64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 24
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn imbalance_qty(&mut self, value: u64) -> &mut Self {
            let offset = self.offset + 24;
            self.get_buf_mut().put_u64_at(offset, value);
            self
        }

        /// primitive field 'ReferencePx'
        /// - min value: -9223372036854775807
        /// - max value: 9223372036854775807
        /// - null value: 9223372036854775807_i64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 32
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn reference_px(&mut self, value: i64) -> &mut Self {
            let offset = self.offset + 32;
            self.get_buf_mut().put_i64_at(offset, value);
            self
        }

        /// optional primitive field 'ReferencePx'
        /// - min value: -9223372036854775807
        /// - max value: 9223372036854775807
        /// - null value: 9223372036854775807_i64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 32
        /// - encodedLength: 8
        /// - version: 0
        /// Set to `None` to encode the field null value.
        #[inline]
        pub fn reference_px_opt(&mut self, value: Option<i64>) -> &mut Self {
            match value {
                Some(value) => self.reference_px(value),
                None => self.reference_px(9223372036854775807_i64),
            };
            self
        }

        /// primitive field 'NearPx'
        /// - min value: -9223372036854775807
        /// - max value: 9223372036854775807
        /// - null value: 9223372036854775807_i64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 40
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn near_px(&mut self, value: i64) -> &mut Self {
            let offset = self.offset + 40;
            self.get_buf_mut().put_i64_at(offset, value);
            self
        }

        /// optional primitive field 'NearPx'
        /// - min value: -9223372036854775807
        /// - max value: 9223372036854775807
        /// - null value: 9223372036854775807_i64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 40
        /// - encodedLength: 8
        /// - version: 0
        /// Set to `None` to encode the field null value.
        #[inline]
        pub fn near_px_opt(&mut self, value: Option<i64>) -> &mut Self {
            match value {
                Some(value) => self.near_px(value),
                None => self.near_px(9223372036854775807_i64),
            };
            self
        }

        /// primitive field 'FarPx'
        /// - min value: -9223372036854775807
        /// - max value: 9223372036854775807
        /// - null value: 9223372036854775807_i64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 48
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn far_px(&mut self, value: i64) -> &mut Self {
            let offset = self.offset + 48;
            self.get_buf_mut().put_i64_at(offset, value);
            self
        }

        /// optional primitive field 'FarPx'
        /// - min value: -9223372036854775807
        /// - max value: 9223372036854775807
        /// - null value: 9223372036854775807_i64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 48
        /// - encodedLength: 8
        /// - version: 0
        /// Set to `None` to encode the field null value.
        #[inline]
        pub fn far_px_opt(&mut self, value: Option<i64>) -> &mut Self {
            match value {
                Some(value) => self.far_px(value),
                None => self.far_px(9223372036854775807_i64),
            };
            self
        }

        /// primitive field 'SecurityID'
        /// - min value: 0
        /// - max value: 4294967294
        /// - null value: 0xffffffff_u32
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 56
        /// - encodedLength: 4
        /// - version: 0
        #[inline]
        pub fn security_id(&mut self, value: u32) -> &mut Self {
            let offset = self.offset + 56;
            self.get_buf_mut().put_u32_at(offset, value);
            self
        }

        /// REQUIRED enum
        #[inline]
        pub fn imbalance_side(&mut self, value: imbalance_side::ImbalanceSide) -> &mut Self {
            let offset = self.offset + 60;
            self.get_buf_mut().put_u8_at(offset, value as u8);
            self
        }

        /// REQUIRED enum
        #[inline]
        pub fn cross_type(&mut self, value: cross_type::CrossType) -> &mut Self {
            let offset = self.offset + 61;
            self.get_buf_mut().put_u8_at(offset, value as u8);
            self
        }
    }
} // end encoder

pub mod decoder {
    use super::*;
    use message_header_codec::*;

    #[derive(Clone, Copy, Debug, Default)]
    pub struct AuctionImbalanceDecoder<'a> {
        buf: ReadBuf<'a>,
        initial_offset: usize,
        offset: usize,
        limit: usize,
        pub acting_block_length: u16,
        pub acting_version: u16,
    }

    impl ActingVersion for AuctionImbalanceDecoder<'_> {
        #[inline]
        fn acting_version(&self) -> u16 {
            self.acting_version
        }
    }

    impl<'a> Reader<'a> for AuctionImbalanceDecoder<'a> {
        #[inline]
        fn get_buf(&self) -> &ReadBuf<'a> {
            &self.buf
        }
    }

    impl<'a> Decoder<'a> for AuctionImbalanceDecoder<'a> {
        #[inline]
        fn get_limit(&self) -> usize {
            self.limit
        }

        #[inline]
        fn set_limit(&mut self, limit: usize) {
            self.limit = limit;
        }
    }

    impl<'a> AuctionImbalanceDecoder<'a> {
        pub fn wrap(
            mut self,
            buf: ReadBuf<'a>,
            offset: usize,
            acting_block_length: u16,
            acting_version: u16,
        ) -> Self {
            let limit = offset + acting_block_length as usize;
            self.buf = buf;
            self.initial_offset = offset;
            self.offset = offset;
            self.limit = limit;
            self.acting_block_length = acting_block_length;
            self.acting_version = acting_version;
            self
        }

        #[inline]
        pub const fn encoded_length(&self) -> usize {
            self.limit - self.offset
        }

        pub fn header(self, mut header: MessageHeaderDecoder<ReadBuf<'a>>, offset: usize) -> Self {
            debug_assert_eq!(SBE_TEMPLATE_ID, header.template_id());
            let acting_block_length = header.block_length();
            let acting_version = header.version();

            self.wrap(
                header.parent().unwrap(),
                offset + message_header_codec::ENCODED_LENGTH,
                acting_block_length,
                acting_version,
            )
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn rpt_seq(&self) -> u64 {
            self.get_buf().get_u64_at(self.offset)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn transact_time(&self) -> u64 {
            self.get_buf().get_u64_at(self.offset + 8)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn paired_qty(&self) -> u64 {
            self.get_buf().get_u64_at(self.offset + 16)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn imbalance_qty(&self) -> u64 {
            self.get_buf().get_u64_at(self.offset + 24)
        }

        /// primitive field - 'OPTIONAL' { null_value: '9223372036854775807_i64' }
        #[inline]
        pub fn reference_px(&self) -> Option<i64> {
            let value = self.get_buf().get_i64_at(self.offset + 32);
            if value == 9223372036854775807_i64 {
                None
            } else {
                Some(value)
            }
        }

        /// primitive field - 'OPTIONAL' { null_value: '9223372036854775807_i64' }
        #[inline]
        pub fn near_px(&self) -> Option<i64> {
            let value = self.get_buf().get_i64_at(self.offset + 40);
            if value == 9223372036854775807_i64 {
                None
            } else {
                Some(value)
            }
        }

        /// primitive field - 'OPTIONAL' { null_value: '9223372036854775807_i64' }
        #[inline]
        pub fn far_px(&self) -> Option<i64> {
            let value = self.get_buf().get_i64_at(self.offset + 48);
            if value == 9223372036854775807_i64 {
                None
            } else {
                Some(value)
            }
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn security_id(&self) -> u32 {
            self.get_buf().get_u32_at(self.offset + 56)
        }

        /// REQUIRED enum
        #[inline]
        pub fn imbalance_side(&self) -> imbalance_side::ImbalanceSide {
            self.get_buf().get_u8_at(self.offset + 60).into()
        }

        /// REQUIRED enum
        #[inline]
        pub fn cross_type(&self) -> cross_type::CrossType {
            self.get_buf().get_u8_at(self.offset + 61).into()
        }
    }
} // end decoder
