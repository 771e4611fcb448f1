//! What benchmarks share: the program around them ([`bench`]), requests as lvsctl makes them ([`control`]), what lvsd says of
//! itself ([`exposition`]), who gets the processor ([`priority`]), the socket that everything is compared with ([`bare`]), the
//! core without a guest ([`core`]), and the report ([`figures`]).

pub mod bare;
pub mod bench;
pub mod control;
pub mod core;
pub mod exposition;
pub mod figures;
pub mod priority;
