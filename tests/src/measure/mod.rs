//! What benchmarks share: the program around them ([`bench`]), requests as lvsctl makes them ([`control`]), what lvsd says of
//! itself ([`exposition`]), who gets the processor ([`priority`]), the socket that everything is compared with ([`bare`]), the
//! core without a guest ([`core`]), lvsd without one ([`dry_run`]), what a process takes ([`process`]), the report ([`figures`]), and its tables ([`documented`]) in the
//! documentation ([`page`]).

pub mod bare;
pub mod bench;
pub mod control;
pub mod core;
pub mod documented;
pub mod dry_run;
pub mod exposition;
pub mod figures;
pub mod page;
pub mod priority;
pub mod process;
