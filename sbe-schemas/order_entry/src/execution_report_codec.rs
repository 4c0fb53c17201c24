use crate::*;

pub use decoder::ExecutionReportDecoder;
pub use encoder::ExecutionReportEncoder;

pub use crate::SBE_SCHEMA_ID;
pub use crate::SBE_SCHEMA_VERSION;
pub use crate::SBE_SEMANTIC_VERSION;

pub const SBE_BLOCK_LENGTH: u16 = 95;
pub const SBE_TEMPLATE_ID: u16 = 30;

pub mod encoder {
    use super::*;
    use message_header_codec::*;

    #[derive(Debug, Default)]
    pub struct ExecutionReportEncoder<'a> {
        buf: WriteBuf<'a>,
        initial_offset: usize,
        offset: usize,
        limit: usize,
    }

    impl<'a> Writer<'a> for ExecutionReportEncoder<'a> {
        #[inline]
        fn get_buf_mut(&mut self) -> &mut WriteBuf<'a> {
            &mut self.buf
        }
    }

    impl<'a> Encoder<'a> for ExecutionReportEncoder<'a> {
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
            self.price_opt(None);
            self.last_px_opt(None);
            self
        }
    }

    impl<'a> ExecutionReportEncoder<'a> {
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

        /// primitive field 'SessionID'
        /// - min value: 0
        /// - max value: 4294967294
        /// - null value: 0xffffffff_u32
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 0
        /// - encodedLength: 4
        /// - version: 0
        #[inline]
        pub fn session_id(&mut self, value: u32) -> &mut Self {
            let offset = self.offset;
            self.get_buf_mut().put_u32_at(offset, value);
            self
        }

        /// primitive field 'MsgSeqNum'
        /// - min value: 0
        /// - max value: 4294967294
        /// - null value: 0xffffffff_u32
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 4
        /// - encodedLength: 4
        /// - version: 0
        #[inline]
        pub fn msg_seq_num(&mut self, value: u32) -> &mut Self {
            let offset = self.offset + 4;
            self.get_buf_mut().put_u32_at(offset, value);
            self
        }

        /// primitive field 'OrderID'
        /// - min value: 0
        /// - max value: -2
        /// - null value: 0xffffffffffffffff_u64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 8
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn order_id(&mut self, value: u64) -> &mut Self {
            let offset = self.offset + 8;
            self.get_buf_mut().put_u64_at(offset, value);
            self
        }

        /// primitive field 'ClOrdID'
        /// - min value: 0
        /// - max value: -2
        /// - null value: 0xffffffffffffffff_u64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 16
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn cl_ord_id(&mut self, value: u64) -> &mut Self {
            let offset = self.offset + 16;
            self.get_buf_mut().put_u64_at(offset, value);
            self
        }

        /// primitive field 'OrigClOrdID'
        /// - min value: 0
        /// - max value: -2
        /// - null value: 0xffffffffffffffff_u64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 24
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn orig_cl_ord_id(&mut self, value: u64) -> &mut Self {
            let offset = self.offset + 24;
            self.get_buf_mut().put_u64_at(offset, value);
            self
        }

        /// primitive field 'ExecID'
        /// - min value: 0
        /// - max value: -2
        /// - null value: 0xffffffffffffffff_u64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 32
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn exec_id(&mut self, value: u64) -> &mut Self {
            let offset = self.offset + 32;
            self.get_buf_mut().put_u64_at(offset, value);
            self
        }

        /// primitive field 'TransactTime'
        /// - min value: 0
        /// - max value: -2
        /// - null value: 0xffffffffffffffff_u64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 40
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn transact_time(&mut self, value: u64) -> &mut Self {
            let offset = self.offset + 40;
            self.get_buf_mut().put_u64_at(offset, value);
            self
        }

        /// primitive field 'Price'
        /// - min value: -9223372036854775807
        /// - max value: 9223372036854775807
        /// - null value: 9223372036854775807_i64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 48
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn price(&mut self, value: i64) -> &mut Self {
            let offset = self.offset + 48;
            self.get_buf_mut().put_i64_at(offset, value);
            self
        }

        /// optional primitive field 'Price'
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
        pub fn price_opt(&mut self, value: Option<i64>) -> &mut Self {
            match value {
                Some(value) => self.price(value),
                None => self.price(9223372036854775807_i64),
            };
            self
        }

        /// primitive field 'LastPx'
        /// - min value: -9223372036854775807
        /// - max value: 9223372036854775807
        /// - null value: 9223372036854775807_i64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 56
        /// - encodedLength: 8
        /// - version: 0
        #[inline]
        pub fn last_px(&mut self, value: i64) -> &mut Self {
            let offset = self.offset + 56;
            self.get_buf_mut().put_i64_at(offset, value);
            self
        }

        /// optional primitive field 'LastPx'
        /// - min value: -9223372036854775807
        /// - max value: 9223372036854775807
        /// - null value: 9223372036854775807_i64
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 56
        /// - encodedLength: 8
        /// - version: 0
        /// Set to `None` to encode the field null value.
        #[inline]
        pub fn last_px_opt(&mut self, value: Option<i64>) -> &mut Self {
            match value {
                Some(value) => self.last_px(value),
                None => self.last_px(9223372036854775807_i64),
            };
            self
        }

        /// primitive field 'OrderQty'
        /// - min value: 0
        /// - max value: 4294967294
        /// - null value: 0xffffffff_u32
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 64
        /// - encodedLength: 4
        /// - version: 0
        #[inline]
        pub fn order_qty(&mut self, value: u32) -> &mut Self {
            let offset = self.offset + 64;
            self.get_buf_mut().put_u32_at(offset, value);
            self
        }

        /// primitive field 'LastQty'
        /// - min value: 0
        /// - max value: 4294967294
        /// - null value: 0xffffffff_u32
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 68
        /// - encodedLength: 4
        /// - version: 0
        #[inline]
        pub fn last_qty(&mut self, value: u32) -> &mut Self {
            let offset = self.offset + 68;
            self.get_buf_mut().put_u32_at(offset, value);
            self
        }

        /// primitive field 'CumQty'
        /// - min value: 0
        /// - max value: 4294967294
        /// - null value: 0xffffffff_u32
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 72
        /// - encodedLength: 4
        /// - version: 0
        #[inline]
        pub fn cum_qty(&mut self, value: u32) -> &mut Self {
            let offset = self.offset + 72;
            self.get_buf_mut().put_u32_at(offset, value);
            self
        }

        /// primitive field 'LeavesQty'
        /// - min value: 0
        /// - max value: 4294967294
        /// - null value: 0xffffffff_u32
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 76
        /// - encodedLength: 4
        /// - version: 0
        #[inline]
        pub fn leaves_qty(&mut self, value: u32) -> &mut Self {
            let offset = self.offset + 76;
            self.get_buf_mut().put_u32_at(offset, value);
            self
        }

        /// primitive field 'SecurityID'
        /// - min value: 0
        /// - max value: 4294967294
        /// - null value: 0xffffffff_u32
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 80
        /// - encodedLength: 4
        /// - version: 0
        #[inline]
        pub fn security_id(&mut self, value: u32) -> &mut Self {
            let offset = self.offset + 80;
            self.get_buf_mut().put_u32_at(offset, value);
            self
        }

        /// primitive field 'Account'
        /// - min value: 0
        /// - max value: 4294967294
        /// - null value: 0xffffffff_u32
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 84
        /// - encodedLength: 4
        /// - version: 0
        #[inline]
        pub fn account(&mut self, value: u32) -> &mut Self {
            let offset = self.offset + 84;
            self.get_buf_mut().put_u32_at(offset, value);
            self
        }

        /// primitive field 'OrdRejReason'
        /// - min value: 0
        /// - max value: 65534
        /// - null value: 0xffff_u16
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 88
        /// - encodedLength: 2
        /// - version: 0
        #[inline]
        pub fn ord_rej_reason(&mut self, value: u16) -> &mut Self {
            let offset = self.offset + 88;
            self.get_buf_mut().put_u16_at(offset, value);
            self
        }

        /// primitive field 'DenyReason'
        /// - min value: 0
        /// - max value: 65534
        /// - null value: 0xffff_u16
        /// - characterEncoding: null
        /// - semanticType: null
        /// - encodedOffset: 90
        /// - encodedLength: 2
        /// - version: 0
        #[inline]
        pub fn deny_reason(&mut self, value: u16) -> &mut Self {
            let offset = self.offset + 90;
            self.get_buf_mut().put_u16_at(offset, value);
            self
        }

        /// REQUIRED enum
        #[inline]
        pub fn exec_type(&mut self, value: exec_type::ExecType) -> &mut Self {
            let offset = self.offset + 92;
            self.get_buf_mut().put_u8_at(offset, value as u8);
            self
        }

        /// REQUIRED enum
        #[inline]
        pub fn ord_status(&mut self, value: ord_status::OrdStatus) -> &mut Self {
            let offset = self.offset + 93;
            self.get_buf_mut().put_u8_at(offset, value as u8);
            self
        }

        /// REQUIRED enum
        #[inline]
        pub fn side(&mut self, value: side::Side) -> &mut Self {
            let offset = self.offset + 94;
            self.get_buf_mut().put_u8_at(offset, value as u8);
            self
        }
    }
} // end encoder

pub mod decoder {
    use super::*;
    use message_header_codec::*;

    #[derive(Clone, Copy, Debug, Default)]
    pub struct ExecutionReportDecoder<'a> {
        buf: ReadBuf<'a>,
        initial_offset: usize,
        offset: usize,
        limit: usize,
        pub acting_block_length: u16,
        pub acting_version: u16,
    }

    impl ActingVersion for ExecutionReportDecoder<'_> {
        #[inline]
        fn acting_version(&self) -> u16 {
            self.acting_version
        }
    }

    impl<'a> Reader<'a> for ExecutionReportDecoder<'a> {
        #[inline]
        fn get_buf(&self) -> &ReadBuf<'a> {
            &self.buf
        }
    }

    impl<'a> Decoder<'a> for ExecutionReportDecoder<'a> {
        #[inline]
        fn get_limit(&self) -> usize {
            self.limit
        }

        #[inline]
        fn set_limit(&mut self, limit: usize) {
            self.limit = limit;
        }
    }

    impl<'a> ExecutionReportDecoder<'a> {
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
        pub fn session_id(&self) -> u32 {
            self.get_buf().get_u32_at(self.offset)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn msg_seq_num(&self) -> u32 {
            self.get_buf().get_u32_at(self.offset + 4)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn order_id(&self) -> u64 {
            self.get_buf().get_u64_at(self.offset + 8)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn cl_ord_id(&self) -> u64 {
            self.get_buf().get_u64_at(self.offset + 16)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn orig_cl_ord_id(&self) -> u64 {
            self.get_buf().get_u64_at(self.offset + 24)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn exec_id(&self) -> u64 {
            self.get_buf().get_u64_at(self.offset + 32)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn transact_time(&self) -> u64 {
            self.get_buf().get_u64_at(self.offset + 40)
        }

        /// primitive field - 'OPTIONAL' { null_value: '9223372036854775807_i64' }
        #[inline]
        pub fn price(&self) -> Option<i64> {
            let value = self.get_buf().get_i64_at(self.offset + 48);
            if value == 9223372036854775807_i64 {
                None
            } else {
                Some(value)
            }
        }

        /// primitive field - 'OPTIONAL' { null_value: '9223372036854775807_i64' }
        #[inline]
        pub fn last_px(&self) -> Option<i64> {
            let value = self.get_buf().get_i64_at(self.offset + 56);
            if value == 9223372036854775807_i64 {
                None
            } else {
                Some(value)
            }
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn order_qty(&self) -> u32 {
            self.get_buf().get_u32_at(self.offset + 64)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn last_qty(&self) -> u32 {
            self.get_buf().get_u32_at(self.offset + 68)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn cum_qty(&self) -> u32 {
            self.get_buf().get_u32_at(self.offset + 72)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn leaves_qty(&self) -> u32 {
            self.get_buf().get_u32_at(self.offset + 76)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn security_id(&self) -> u32 {
            self.get_buf().get_u32_at(self.offset + 80)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn account(&self) -> u32 {
            self.get_buf().get_u32_at(self.offset + 84)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn ord_rej_reason(&self) -> u16 {
            self.get_buf().get_u16_at(self.offset + 88)
        }

        /// primitive field - 'REQUIRED'
        #[inline]
        pub fn deny_reason(&self) -> u16 {
            self.get_buf().get_u16_at(self.offset + 90)
        }

        /// REQUIRED enum
        #[inline]
        pub fn exec_type(&self) -> exec_type::ExecType {
            self.get_buf().get_u8_at(self.offset + 92).into()
        }

        /// REQUIRED enum
        #[inline]
        pub fn ord_status(&self) -> ord_status::OrdStatus {
            self.get_buf().get_u8_at(self.offset + 93).into()
        }

        /// REQUIRED enum
        #[inline]
        pub fn side(&self) -> side::Side {
            self.get_buf().get_u8_at(self.offset + 94).into()
        }
    }
} // end decoder
