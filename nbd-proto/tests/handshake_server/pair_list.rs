//! Our client lists what our server has.

use nbd_proto::error::Ended;
use nbd_proto::handshake::{List, ListSettings, Offer, ReplyStyle, ServerHandshakeSettings, ServerTls, TlsPolicy};
use nbd_proto::wire::flags::TransmissionFlags;

use crate::pair::{CHUNKS, World, pair};

fn world() -> World {
    let offer = |size| Offer::new(size, TransmissionFlags::READ_ONLY);
    World(vec![
        ("", offer(1)),
        ("disk", offer(2).with_description("words").with_context("base:allocation").with_context("x-a:b")),
    ])
}

#[test]
fn all_there_is() {
    for (policy, tls) in [(TlsPolicy::Off, ServerTls::Offered), (TlsPolicy::Required, ServerTls::Required)] {
        for chunk in CHUNKS {
            let list = List::new(ListSettings::default().with_tls(policy));
            let (listing, accepted) = pair(list, ServerHandshakeSettings::default().with_tls(tls), &world(), chunk);
            let listing = listing.unwrap();
            assert_eq!(listing.reply_style, ReplyStyle::Extended);
            assert_eq!(listing.tls, policy == TlsPolicy::Required);
            let [nameless, disk] = &listing.exports[..] else { panic!("{listing:?}") };
            assert_eq!((nameless.name.as_str(), disk.name.as_str()), ("", "disk"));
            let info = disk.info.as_ref().unwrap().as_ref().unwrap();
            assert_eq!((info.size, info.description.as_deref()), (2, Some("words")));
            assert_eq!(disk.contexts, ["base:allocation", "x-a:b"]);
            assert_eq!(accepted.unwrap_err(), Ended::ByUs.into());
        }
    }
}

#[test]
fn names_only() {
    for chunk in CHUNKS {
        let list = List::new(ListSettings::default().with_details(false));
        let (listing, _) = pair(list, ServerHandshakeSettings::default(), &world(), chunk);
        assert_eq!(listing.unwrap().exports.len(), 2);
    }
}
