//! Properties of types that a change could lose unseen.

use crate::driver::{Export, Listener, Running, Server, ServerOptions, Stopper};

const fn goes_anywhere<T: Send + Sync + 'static>() {}

const _: () = {
    goes_anywhere::<Export>();
    goes_anywhere::<Listener>();
    goes_anywhere::<Running>();
    goes_anywhere::<Server>();
    goes_anywhere::<ServerOptions>();
    goes_anywhere::<Stopper>();
};

#[test]
fn exports_and_servers_can_be_cloned() {
    const fn can_be_cloned<T: Clone>() {}
    can_be_cloned::<Export>();
    can_be_cloned::<Server>();
    can_be_cloned::<Stopper>();
}
