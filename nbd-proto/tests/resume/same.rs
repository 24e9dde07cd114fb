//! Whether an export is the same.

use nbd_proto::handshake::{MetaContext, ReplyStyle};
use nbd_proto::resume::{Differs, same_export};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::ContextId;

use crate::support::{all, negotiated};

#[test]
fn everything_that_matters_has_to_be_the_same() {
    let was = negotiated(4096, all());
    assert_eq!(same_export(&was, &was.clone()), Ok(()));
    let told = |change: &dyn Fn(&mut nbd_proto::handshake::Negotiated)| {
        let mut now = was.clone();
        change(&mut now);
        let differs = same_export(&was, &now).unwrap_err();
        assert!(!differs.to_string().contains('\n'));
        differs
    };
    let sizes = BlockSizes { minimum: 1, preferred: 4096, maximum: 65_536 };
    assert_eq!(told(&|now| now.info.size = 8192).to_string(), "the export had 4096 bytes, and now has 8192");
    assert!(matches!(told(&|now| now.info.flags = TransmissionFlags::HAS_FLAGS), Differs::Flags { .. }));
    assert_eq!(
        told(&|now| now.info.block_sizes = Some(sizes)).to_string(),
        "the export had no block sizes, and now has block sizes 1/4096/65536"
    );
    assert_eq!(
        told(&|now| now.reply_style = ReplyStyle::Structured).to_string(),
        "the server sent simple replies, and now sends structured ones"
    );
    assert_eq!(told(&|now| now.tls = true).to_string(), "the connection was not inside TLS, and now is");
    let context = |id: u32, name: &str| MetaContext { id: ContextId(id), name: name.to_owned() };
    assert_eq!(told(&|now| now.contexts = vec![context(1, "a:b")]), Differs::Contexts { name: "a:b".to_owned() });
}

#[test]
fn ids_of_contexts_and_words_for_people_may_change() {
    let mut was = negotiated(4096, all());
    let context = |id: u32, name: &str| MetaContext { id: ContextId(id), name: name.to_owned() };
    was.contexts = vec![context(1, "a:b"), context(2, "c:d")];
    let mut now = was.clone();
    now.contexts = vec![context(1, "c:d"), context(2, "a:b")];
    now.info.description = Some("new words".to_owned());
    assert_eq!(same_export(&was, &now), Ok(()));
}
