use super::*;

fn http(parts: HttpParts) -> Result<HttpRequest, SpecError> {
    HttpRequest::new(parts)
}

fn header(name: &str, value: &str) -> HttpParts {
    HttpParts { headers: vec![(name.to_owned(), value.into())], ..HttpParts::default() }
}

fn ranges(texts: &[&str]) -> Vec<StatusRange> {
    texts.iter().map(|text| text.parse().expect("a range")).collect()
}

fn target() -> SocketAddr {
    "10.0.0.11:80".parse().expect("an address")
}

#[test]
fn checks_show_what_they_ask_of_whom() {
    let tcp = Check::new(target(), Kind::Tcp, Timing::default());
    assert_eq!(tcp.to_string(), "tcp 10.0.0.11:80");

    let host = Some("www.example.org".to_owned());
    let request = http(HttpParts { path: "/healthz".to_owned(), host, ..HttpParts::default() });
    let named = Check::new(target(), Kind::Http(request.expect("valid")), Timing::default());
    assert_eq!(named.to_string(), "http GET http://10.0.0.11:80/healthz (host www.example.org)");

    let six = "[fd00::11]:8080".parse().expect("an address");
    let plain = Check::new(six, Kind::Http(HttpRequest::get("/").expect("valid")), Timing::default());
    assert_eq!(plain.to_string(), "http GET http://[fd00::11]:8080/");

    let toward = "10.0.0.11".parse().expect("an address");
    let marked = |mark| tcp.clone().by(Route::Marked { mark: std::num::NonZeroU32::new(mark), toward });
    assert_eq!(marked(0x6c77_0000).to_string(), "tcp 10.0.0.11:80 with mark 0x6c770000 towards 10.0.0.11");
    assert_eq!(marked(0).to_string(), "tcp 10.0.0.11:80 without a mark towards 10.0.0.11");
}

#[test]
fn the_defaults_are_two_seconds_one_second_three_and_two() {
    let default = Timing::default();
    let made = Timing::new(Duration::from_secs(2), Duration::from_secs(1), 3, 2);
    assert_eq!(made, Ok(default));
}

#[test]
fn timings_of_zero_are_refused_and_the_limits_themselves_are_taken() {
    let second = Duration::from_secs(1);
    let zero = Duration::ZERO;
    assert_eq!(Timing::new(zero, second, 1, 1), Err(SpecError::Period { what: "interval", found: zero }));
    assert_eq!(Timing::new(second, zero, 1, 1), Err(SpecError::Period { what: "timeout", found: zero }));
    assert_eq!(Timing::new(second, second, 0, 1), Err(SpecError::Count { what: "fall" }));
    assert_eq!(Timing::new(second, second, 1, 0), Err(SpecError::Count { what: "rise" }));
    assert!(Timing::new(MIN_PERIOD, MIN_PERIOD, 1, 1).is_ok());
    assert!(Timing::new(MAX_PERIOD, MAX_PERIOD, u32::MAX, u32::MAX).is_ok());
    let over = MAX_PERIOD + Duration::from_nanos(1);
    assert_eq!(Timing::new(over, second, 1, 1), Err(SpecError::Period { what: "interval", found: over }));
}

#[test]
fn a_fast_interval_is_a_second_or_the_shorter_interval_unless_given() {
    let timing = |interval| Timing::new(interval, MIN_PERIOD, 1, 1).expect("a timing");
    let second = Duration::from_secs(1);
    assert_eq!(timing(second * 60).fast_interval(), second);
    assert_eq!(timing(second / 4).fast_interval(), second / 4);
    let given = timing(second * 60).with_fast_interval(second * 60).expect("the interval itself");
    assert_eq!(given.fast_interval(), second * 60);
    let over = second + Duration::from_nanos(1);
    let refused = Err(SpecError::FastInterval { interval: second, found: over });
    assert_eq!(timing(second).with_fast_interval(over), refused);
    assert!(timing(second).with_fast_interval(Duration::ZERO).is_err());
}

#[test]
fn status_ranges_are_read_as_they_are_written() {
    for text in ["200", "200-399", "100-599", "503"] {
        assert_eq!(text.parse::<StatusRange>().map(|range| range.to_string()), Ok(text.to_owned()));
    }
    let range: StatusRange = "200-399".parse().expect("a range");
    assert!(range.contains(200) && range.contains(399));
    assert!(!range.contains(199) && !range.contains(400));
}

#[test]
fn what_is_no_status_range_is_refused_with_what_was_found() {
    for text in
        ["", "abc", "99", "600", "2xx", "300-200", "200-", "-200", "200-299-300", "+200", "0200", " 200"]
    {
        assert_eq!(text.parse::<StatusRange>(), Err(SpecError::Status { found: text.to_owned() }));
    }
}

#[test]
fn requests_that_mean_the_same_are_equal() {
    let one = HttpParts { expect: ranges(&["301", "200-250", "251-299"]), ..header("X-Probe", "a") };
    let other = HttpParts { expect: ranges(&["200-299", "301", "204"]), ..header("x-probe", "a") };
    assert_eq!(http(one), http(other));
}

#[test]
fn parts_that_cannot_be_sent_are_refused() {
    let with = |change: fn(&mut HttpParts)| {
        let mut parts = HttpParts::default();
        change(&mut parts);
        http(parts).expect_err("refused").to_string()
    };
    assert!(with(|p| p.method = "CONNECT".to_owned()).starts_with("method:"));
    assert!(with(|p| p.method = "G E T".to_owned()).starts_with("method:"));
    for path in ["", "healthz", "/a b", "/a\r\nX: y", "/a#b", "http://x/", "/\u{0}"] {
        let parts = HttpParts { path: path.to_owned(), ..HttpParts::default() };
        assert_eq!(http(parts), Err(SpecError::Path { found: path.to_owned() }));
    }
    for host in ["", "a b", "a\r\nX: y", "me@there", "a/b"] {
        let parts = HttpParts { host: Some(host.to_owned()), ..HttpParts::default() };
        assert_eq!(http(parts), Err(SpecError::Host { found: host.to_owned() }));
    }
    assert!(with(|p| p.expect.clear()).starts_with("expect:"));
    assert!(with(|p| p.body_contains = Some(String::new())).starts_with("body_contains:"));
    assert!(
        with(|p| (p.method, p.body_contains) = ("HEAD".to_owned(), Some("ok".to_owned()))).contains("HEAD")
    );
    assert!(with(|p| p.body_contains = Some("a".repeat(4097))).contains("longer than 4096 bytes"));
    assert!(with(|p| p.body_matches = Some(Regex::new("").expect("a regex"))).starts_with("body_matches:"));
    assert!(
        with(|p| (p.max_body, p.body_matches) = (MAX_MATCHED + 1, Some(Regex::new("a").expect("a regex"))))
            .contains("max_body may be 1048576")
    );
    assert!(
        with(|p| (p.method, p.body_sha256) = ("HEAD".to_owned(), Some(Digest::of(b""))))
            .starts_with("body_sha256:")
    );
    assert!(with(|p| (p.max_body, p.body_contains) = (1, Some("ok".to_owned()))).contains("max_body"));
}

#[test]
fn headers_that_frame_the_message_are_refused() {
    for (name, value) in [
        ("Host", "x"),
        ("Connection", "keep-alive"),
        ("content-length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("bad name", "x"),
        ("", "x"),
        ("x-ok", "a\r\nb: c"),
    ] {
        let refused = http(header(name, value)).expect_err("refused");
        assert!(matches!(&refused, SpecError::Header { name: n, .. } if n == name), "{refused}");
    }
    assert!(http(header("User-Agent", "probe/1")).is_ok());
}

/// serde's view of a value without a format: what a recorder would write, and read again.
mod recorded {
    use super::*;
    use serde::de::value::{Error, MapDeserializer, StrDeserializer};

    #[test]
    fn a_status_range_is_checked_when_it_is_read() {
        let read = |text| StatusRange::deserialize(StrDeserializer::<Error>::new(text));
        assert_eq!(read("200-299"), Ok(StatusRange::SUCCESS));
        assert!(read("299-200").is_err());
    }

    #[test]
    fn a_request_is_checked_when_it_is_read() {
        let read =
            |path| HttpRequest::deserialize(MapDeserializer::<_, Error>::new([("path", path)].into_iter()));
        assert_eq!(read("/up").ok(), HttpRequest::get("/up").ok());
        assert!(read("up").is_err());
    }
}
