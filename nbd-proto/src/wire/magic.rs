//! Magic numbers (spec, *Protocol phases*; extended ones from the extended-headers extension).

/// `NBDMAGIC`: the first eight bytes of every server.
pub const NBDMAGIC: u64 = 0x4e42_444d_4147_4943;
/// `IHAVEOPT`: newstyle follows; also the start of every option request.
pub const IHAVEOPT: u64 = 0x4948_4156_454f_5054;
/// `cliserv_magic`: oldstyle follows.
pub const OLDSTYLE: u64 = 0x0000_4202_8186_1253;
/// The start of every option reply.
pub const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
/// `NBD_REQUEST_MAGIC`
pub const REQUEST: u32 = 0x2560_9513;
/// `NBD_EXTENDED_REQUEST_MAGIC`
pub const EXTENDED_REQUEST: u32 = 0x21e4_1c71;
/// `NBD_SIMPLE_REPLY_MAGIC`
pub const SIMPLE_REPLY: u32 = 0x6744_6698;
/// `NBD_STRUCTURED_REPLY_MAGIC`
pub const STRUCTURED_REPLY: u32 = 0x668e_33ef;
/// `NBD_EXTENDED_REPLY_MAGIC`
pub const EXTENDED_REPLY: u32 = 0x6e8a_278c;
