//! The one integration-test binary: linked once, so that the tests of all modules share a build.

mod alipay_answers;
mod alipay_calls;
mod alipay_certificates;
mod alipay_fuzzing;
mod alipay_hostile;
mod alipay_socket;
mod alipay_vectors;
mod api;
mod bill_reader;
mod decision_properties;
mod decision_table;
mod docker;
mod model;
mod peer_defects;
mod process;
mod store_contract;
mod stories;
mod support;
mod tidy;
