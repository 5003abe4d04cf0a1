//! Buffers against plain byte vectors, under random operations on several at once.
//!
//! What is run and compared is `model.rs`, which the fuzz target of the same name shares; here the
//! operations come from a seed and a failing list is shrunk.

use proptest::prelude::*;

mod model;
mod operation;
mod shadow;

use operation::Operation;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn buffers_agree_with_byte_vectors(
        operations in prop::collection::vec(any::<[u8; 8]>().prop_map(Operation::decode), 1..80)
    ) {
        model::run(operations);
    }
}
