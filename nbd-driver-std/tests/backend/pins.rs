//! Properties of types that a change would break without a compiler's word.

use nbd_driver_std::backend::{Backend, FileBackend, Memory, Null, ReadOnly};

const fn backend<B: Backend + 'static>() {}

const _: () = {
    backend::<Memory>();
    backend::<FileBackend>();
    backend::<Null>();
    backend::<ReadOnly<Box<dyn Backend>>>();
};
