//! experiment
use anyhow::Result;
use lab::configuration::{Configuration, Routers, Service};
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab};
use lab::site::LIMIT;
use lab::world::World;

const PY: &str = r#"
import socket,sys,collections
def one(family, vip, mark, src):
    s=socket.socket(family, socket.SOCK_STREAM); s.settimeout(1.5)
    if mark: s.setsockopt(socket.SOL_SOCKET, 36, mark)
    try:
        if src: s.bind((src,0))
        s.connect((vip,80)); s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        d=b""
        while True:
            c=s.recv(4096)
            if not c: break
            d+=c
        return d.split(b"\r\n\r\n")[-1].strip().decode()
    except Exception as e: return type(e).__name__+":"+str(e)
    finally: s.close()
mark=int(sys.argv[1]); use_src=sys.argv[2]=="src"
for fam,vip,src in ((socket.AF_INET,"192.0.2.10","10.64.0.1"),(socket.AF_INET6,"2001:db8::10","fd00:64::1")):
    print(vip, dict(collections.Counter(one(fam,vip,mark,src if use_src else None) for _ in range(8))))
"#;

pub(crate) fn zz_experiment(world: &World) -> Result<()> {
    let lab = Lab::build(world)?;
    let lb = &lab.balancers[0];
    let _s = lab.start_servers()?;
    let configuration = Configuration { routers: Routers::None, services: vec![Service::new("web", &FIRST)], ..Configuration::with_web(64600) };
    let mut lvsd = Lvsd::start(lb, &configuration)?;
    lvsd.wait_ready(LIMIT)?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let py = |mark: &str, src: &str| lb.run(&["python3", "-c", PY, mark, src]);
    println!("plain, no mark: {}", py("0", "no")?);
    println!("plain, no mark, src: {}", py("0", "src")?);
    lb.run(&["sh", "-ec", "for f in 4 6; do if [ $f = 4 ]; then v=10.64.0.13; else v=fd00:64::13; fi; ip -$f rule add pref 100 fwmark 256 lookup 256; ip -$f route add default via $v dev eth0 table 256; ip -$f rule add pref 200 lookup local; ip -$f rule del pref 0; done"])?;
    println!("C: rules, local moved: {}", py("256", "no")?);
    println!("C src: {}", py("256", "src")?);
    lb.sysctl(&[("net.ipv4.conf.all.accept_local", "1"), ("net.ipv4.conf.eth0.accept_local", "1")])?;
    println!("D: and accept_local: {}", py("256", "no")?);
    println!("D src: {}", py("256", "src")?);
    lb.run(&["sh", "-ec", "for f in 4 6; do ip -$f rule add pref 0 lookup local; ip -$f rule del pref 200; ip -$f rule del pref 100; done"])?;
    lb.run(&["sh", "-ec", "ipvsadm -A -f 256 -s rr; ipvsadm -a -f 256 -r 10.64.0.13:0 -g; ipvsadm -A -f 256 -6 -s rr; ipvsadm -a -f 256 -6 -r '[fd00:64::13]:0' -g"])?;
    println!("canary: fwmark service, accept_local: {}", py("256", "no")?);
    println!("canary src: {}", py("256", "src")?);
    println!("{}", lb.run(&["ipvsadm", "-Lnc"])?);
    println!("{}", lb.run(&["ipvsadm", "-Ln", "--stats"])?);
    lb.sysctl(&[("net.ipv4.conf.all.accept_local", "0"), ("net.ipv4.conf.eth0.accept_local", "0")])?;
    println!("canary without accept_local src: {}", py("256", "src")?);
    anyhow::bail!("end of the experiment")
}
