//! What is written beside the table.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Daemon, DaemonRole, ServiceKey, Settings, TimeoutSeconds, Timeouts};

/// A write beside the table. Its text says what is done, for logs and errors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Sets those timeouts that are there.
    SetTimeouts(Timeouts),
    /// Starts a sync daemon.
    StartDaemon {
        /// Which.
        role: DaemonRole,
        /// What it is set to.
        daemon: Daemon,
    },
    /// Stops a sync daemon. Of one that was started milliseconds before, the kernel stops it and does not answer
    /// (`kthread_stop` gives EINTR): when that is the last of a list, it is a timeout and a resync.
    StopDaemon {
        /// Which.
        role: DaemonRole,
    },
    /// Sets the counters of a service and its destinations, or of everything, to 0. Rates are left.
    ZeroStatistics {
        /// Of which service; all when there is none.
        service: Option<ServiceKey>,
    },
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetTimeouts(timeouts) => write!(f, "set timeouts {timeouts}"),
            Self::StartDaemon { role, daemon } => write!(f, "start {role} sync daemon {daemon}"),
            Self::StopDaemon { role } => write!(f, "stop {role} sync daemon"),
            Self::ZeroStatistics { service: Some(service) } => write!(f, "zero the counters of {service}"),
            Self::ZeroStatistics { service: None } => f.write_str("zero all counters"),
        }
    }
}

/// The smallest list of writes that brings the settings that are to those that are wanted.
///
/// Timeouts that are not wanted stay as they are. The kernel cannot change a daemon: one that differs is stopped and
/// started, and connections stay meanwhile. Stops come before starts, since both may want the same port.
pub fn diff_settings(have: &Settings, want: &Settings) -> Vec<Control> {
    let mut controls = Vec::new();
    let timeouts = Timeouts {
        tcp: differing(have.timeouts.tcp, want.timeouts.tcp),
        tcp_fin: differing(have.timeouts.tcp_fin, want.timeouts.tcp_fin),
        udp: differing(have.timeouts.udp, want.timeouts.udp),
    };
    if timeouts != Timeouts::NONE {
        controls.push(Control::SetTimeouts(timeouts));
    }
    let mut starts = Vec::new();
    for role in [DaemonRole::Master, DaemonRole::Backup] {
        let (running, wanted) = (have.daemon(role), want.daemon(role));
        if running.zip(wanted).is_some_and(|(running, wanted)| wanted.is_met_by(running)) {
            continue;
        }
        controls.extend(running.map(|_| Control::StopDaemon { role }));
        starts.extend(wanted.map(|daemon| Control::StartDaemon { role, daemon: daemon.clone() }));
    }
    controls.extend(starts);
    controls
}

fn differing(have: Option<TimeoutSeconds>, want: Option<TimeoutSeconds>) -> Option<TimeoutSeconds> {
    want.filter(|_| have != want)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary;

    /// Does what the kernel would, and refuses what it would.
    fn apply(settings: &mut Settings, control: &Control) -> Result<(), &'static str> {
        match control {
            Control::SetTimeouts(new) => {
                let timeouts = &mut settings.timeouts;
                timeouts.tcp = new.tcp.or(timeouts.tcp);
                timeouts.tcp_fin = new.tcp_fin.or(timeouts.tcp_fin);
                timeouts.udp = new.udp.or(timeouts.udp);
            }
            Control::StartDaemon { role, daemon } if settings.daemon(*role).is_none() => {
                settings.set_daemon(*role, Some(daemon.clone()));
            }
            Control::StartDaemon { .. } => return Err("EEXIST"),
            Control::StopDaemon { role } if settings.daemon(*role).is_some() => {
                settings.set_daemon(*role, None);
            }
            Control::StopDaemon { .. } => return Err("ESRCH"),
            Control::ZeroStatistics { .. } => return Err("not asked for"),
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn applying_a_diff_of_settings_gives_what_is_wanted(
            have in arbitrary::settings(), want in arbitrary::settings()
        ) {
            let mut kernel = have.clone();
            for control in diff_settings(&have, &want) {
                prop_assert_eq!(apply(&mut kernel, &control), Ok(()), "{}", control);
            }
            prop_assert_eq!(diff_settings(&kernel, &want), vec![]);
            prop_assert_eq!(kernel.master.is_some(), want.master.is_some());
            let left = |have: Option<_>, want: Option<_>| want.or(have);
            prop_assert_eq!(kernel.timeouts.tcp, left(have.timeouts.tcp, want.timeouts.tcp));
            prop_assert_eq!(kernel.timeouts.tcp_fin, left(have.timeouts.tcp_fin, want.timeouts.tcp_fin));
            prop_assert_eq!(kernel.timeouts.udp, left(have.timeouts.udp, want.timeouts.udp));
        }

        #[test]
        fn settings_need_nothing_to_become_themselves(settings in arbitrary::settings()) {
            prop_assert_eq!(diff_settings(&settings, &settings), vec![]);
        }
    }

    fn texts(have: &Settings, want: &Settings) -> Vec<String> {
        diff_settings(have, want).iter().map(ToString::to_string).collect()
    }

    fn timeouts(tcp: u32, udp: u32) -> Timeouts {
        let seconds = |seconds| Some(TimeoutSeconds::new(seconds).unwrap());
        Timeouts { tcp: seconds(tcp), tcp_fin: seconds(120), udp: seconds(udp) }
    }

    #[test]
    fn only_the_timeouts_that_differ_are_set() {
        let have = Settings { timeouts: timeouts(900, 300), ..Settings::default() };
        let want = Settings { timeouts: timeouts(60, 300), ..Settings::default() };
        assert_eq!(texts(&have, &want), ["set timeouts tcp 60 s"]);
        assert_eq!(texts(&have, &Settings::default()), [""; 0], "what is not asked for stays");
    }

    #[test]
    fn a_daemon_that_differs_is_stopped_before_any_is_started() {
        let daemon = |sync_id| Some(Daemon::new("eth0".parse().unwrap(), sync_id));
        let have = Settings { backup: daemon(1), ..Settings::default() };
        let want = Settings { master: daemon(2), backup: daemon(2), ..Settings::default() };
        assert_eq!(
            texts(&have, &want),
            [
                "stop backup sync daemon",
                "start master sync daemon on eth0, sync id 2, group 224.0.0.81 port 8848 ttl 1",
                "start backup sync daemon on eth0, sync id 2, group 224.0.0.81 port 8848 ttl 1",
            ]
        );
    }

    #[test]
    fn a_length_that_the_kernel_chose_is_no_difference() {
        let daemon = Daemon::new("eth0".parse().unwrap(), 1);
        let running = daemon.clone().with_max_len(crate::SyncMaxLen::new(1472).unwrap());
        let settings = |daemon| Settings { master: Some(daemon), ..Settings::default() };
        assert_eq!(texts(&settings(running.clone()), &settings(daemon)), [""; 0]);
        let longer = running.clone().with_max_len(crate::SyncMaxLen::new(8972).unwrap());
        assert_eq!(texts(&settings(running), &settings(longer)).len(), 2);
    }
}
