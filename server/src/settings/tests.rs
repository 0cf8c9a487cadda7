//! Settings as a whole: sources, their order, and the sentence for a wrong value.

use super::*;
use clap::Parser;

pub(super) struct Home(tempfile::TempDir);

impl Home {
    pub(super) fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Home(dir)
    }

    pub(super) fn load(&self, environment: &[(&str, &str)], flags: &[&str]) -> Result<Settings, SettingsError> {
        let home = self.0.path().to_str().unwrap();
        let flags = Flags::parse_from(["tandem-server", "--home", home].iter().chain(flags));
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::load(&flags, environment)
    }
}

const ALONE: &[&str] = &["--mode", "standalone", "--ip", "127.0.0.1"];

#[test]
fn later_sources_win() {
    let file = "server.port=1001\nserver.servlet.contextPath=/file\nnacos.naming.expireInstance=false";
    let home = Home::with(&[("conf/application.properties", file)]);
    let settings = home.load(&[], ALONE).unwrap();
    assert_eq!((settings.port, settings.context_path.as_str()), (1001, "/file"));
    assert!(!settings.naming.expire_instance);
    let image = [("NACOS_APPLICATION_PORT", "1002"), ("SERVER_SERVLET_CONTEXTPATH", "/env/")];
    let settings = home.load(&image, ALONE).unwrap();
    assert_eq!((settings.port, settings.context_path.as_str()), (1002, "/env"));
    let spring = [("NACOS_APPLICATION_PORT", "1002"), ("SERVER_PORT", "1003")];
    assert_eq!(home.load(&spring, ALONE).unwrap().port, 1003);
    let flags = [ALONE, &["--port", "1004", "--context-path", "/"]].concat();
    let settings = home.load(&spring, &flags).unwrap();
    assert_eq!((settings.port, settings.context_path.as_str()), (1004, ""));
}

#[test]
fn defaults_are_those_of_the_official_package() {
    let settings = Home::with(&[]).load(&[], ALONE).unwrap();
    assert_eq!((settings.port, settings.context_path.as_str()), (8848, "/nacos"));
    assert_eq!(settings.naming, NamingSettings::default());
    assert_eq!(settings.distro, DistroSettings::default());
    assert_eq!((settings.identity, settings.prometheus, settings.function_mode), (None, false, None));
    assert_eq!((settings.members.lookup, settings.members.fail_access_count), (LookupKind::Standalone, 3));
}

#[test]
fn the_peer_stream_is_turned_off_by_file_environment_or_word() {
    let home = Home::with(&[]);
    assert!(home.load(&[], ALONE).unwrap().distro.peer_stream);
    let file = Home::with(&[("conf/application.properties", "tandem.peer.stream=false")]);
    assert!(!file.load(&[], ALONE).unwrap().distro.peer_stream);
    assert!(!home.load(&[("TANDEM_PEER_STREAM", "false")], ALONE).unwrap().distro.peer_stream);
    assert!(!home.load(&[("JAVA_OPT_EXT", "-Dtandem.peer.stream=false")], ALONE).unwrap().distro.peer_stream);
}

#[test]
fn custom_properties_and_placeholders() {
    let home = Home::with(&[
        (
            "conf/application.properties",
            "server.port=${NACOS_APPLICATION_PORT:8850}\nnacos.naming.data.warmup=${W:true}",
        ),
        ("init.d/custom.properties", "nacos.naming.data.warmup=false"),
    ]);
    let settings = home.load(&[], ALONE).unwrap();
    assert_eq!((settings.port, settings.naming.data_warmup), (8850, false));
}

#[test]
fn the_table_of_the_official_image() {
    let home = Home::with(&[]);
    let settings = home
        .load(
            &[
                ("MODE", "cluster"),
                ("NACOS_SERVERS", "127.0.0.1:1 127.0.0.1:2"),
                ("NACOS_SERVER_IP", "127.0.0.7"),
                ("FUNCTION_MODE", "naming"),
                ("NACOS_AUTH_ENABLE", "false"),
                ("NACOS_AUTH_IDENTITY_KEY", "k"),
                ("NACOS_AUTH_IDENTITY_VALUE", "v"),
                ("JVM_XMS", "1g"),
                ("MYSQL_SERVICE_HOST", "db"),
                ("JAVA_OPT_EXT", "-Xmx1g -Dnacos.naming.expireInstance=false -Dx --server.port=8000"),
            ],
            &[],
        )
        .unwrap();
    assert_eq!((settings.address().as_str(), settings.standalone), ("127.0.0.7:8000", false));
    assert_eq!(settings.members.servers, ["127.0.0.1:1", "127.0.0.1:2"]);
    assert_eq!(settings.members.lookup, LookupKind::File);
    assert_eq!(settings.function_mode.as_deref(), Some("naming"));
    assert_eq!(settings.identity, Some(("k".to_owned(), "v".to_owned())));
    assert!(!settings.naming.expire_instance);
    let ignored = settings.notes.iter().filter_map(|note| match note {
        Note::Ignored(name, _) => Some(name.as_str()),
        Note::Unknown(..) | Note::Misspelt(..) => None,
    });
    assert_eq!(ignored.collect::<Vec<_>>(), ["MYSQL_SERVICE_HOST", "JVM_XMS"]);
    let alone = home.load(&[("MODE", "standalone"), ("NACOS_SERVER_IP", "127.0.0.1")], &[]).unwrap();
    assert_eq!(alone.members.lookup, LookupKind::Standalone);
    let list = home.load(&[("MEMBER_LIST", "127.0.0.1:1")], &["--ip", "127.0.0.1"]).unwrap();
    assert_eq!(list.members.list.as_deref(), Some("127.0.0.1:1"));
}

#[test]
fn lookup_is_chosen_like_the_official_node() {
    let pick = |files: &[(&str, &str)], environment: &[(&str, &str)], key: &str| {
        let define = format!("-D{key}");
        let settings = Home::with(files).load(environment, &["--ip", "127.0.0.1", &define]);
        settings.map(|settings| settings.members.lookup)
    };
    let conf = ("conf/cluster.conf", "");
    let kind = "nacos.core.member.lookup.type";
    assert_eq!(pick(&[conf], &[], "x=").unwrap(), LookupKind::File);
    assert_eq!(pick(&[conf], &[], &format!("{kind}=address-server")).unwrap(), LookupKind::AddressServer);
    assert_eq!(pick(&[conf], &[], &format!("{kind}=other")).unwrap(), LookupKind::File);
    assert_eq!(pick(&[], &[("address_server_domain", "h")], "x=").unwrap(), LookupKind::AddressServer);
    assert!(pick(&[], &[], "x=").unwrap_err().to_string().contains("without members"));
}

#[test]
fn a_wrong_value_stops_the_start_with_one_sentence() {
    let home = Home::with(&[("conf/application.properties", "\nserver.port=99999")]);
    let file = home.0.path().join("conf/application.properties");
    assert_eq!(
        home.load(&[], ALONE).unwrap_err().to_string(),
        format!("server.port is \"99999\" (from {} line 2), but it must be a port from 1 to 65535", file.display())
    );
    let home = Home::with(&[]);
    for (environment, flags, part) in [
        (("MODE", "alone"), vec![], "the environment variable MODE is \"alone\""),
        (("SERVER_PORT", "x"), ALONE.to_vec(), "(from the environment variable SERVER_PORT)"),
        (("X", ""), vec!["--mode", "both"], "the flag --mode is \"both\""),
        (("X", ""), [ALONE, &["--context-path", "nacos"]].concat(), "a path that begins with /"),
        (("X", ""), [ALONE, &["-D", "=1"]].concat(), "KEY=VALUE"),
        (("X", ""), [ALONE, &["-Dnacos.naming.expireInstance=maybe"]].concat(), "(from the flag -Dnacos.naming"),
        (("X", ""), [ALONE, &["--log-level", "loud=very"]].concat(), "tandem.log.level is"),
        (("X", ""), [ALONE, &["-Dnacos.http.timeout=-1"]].concat(), "milliseconds from 2"),
        (("NACOS_AUTH_ENABLE", "true"), ALONE.to_vec(), "authentication is not offered yet"),
        (("FUNCTION_MODE", "config"), ALONE.to_vec(), "the configuration service is not offered yet"),
        (("FUNCTION_MODE", "some"), ALONE.to_vec(), "all or naming"),
    ] {
        let error = home.load(&[environment], &flags).expect_err(part).to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn unknown_keys_are_named() {
    let home = Home::with(&[(
        "conf/application.properties",
        "nacos.naming.expireinstance=true\nother.key=1\nnacos.istio.mcp.server.enabled=false",
    )]);
    let notes = home.load(&[], ALONE).unwrap().notes;
    assert!(
        matches!(&notes[..], [Note::Unknown(key, Origin::File(_, 1)), Note::Ignored(..)] if key == "nacos.naming.expireinstance")
    );
}

#[test]
fn slips_are_told_and_what_belongs_to_others_is_not() {
    let home = Home::with(&[(
        "conf/application.properties",
        "server.prot=1\nserver.servlet.contextPath=/x\nserver.tomcat.threads.max=5\nspring.application.name=x",
    )]);
    let environment = [
        ("NACOS_SERVRS", "a b"),
        ("MDOE", "standalone"),
        ("SERVER_PROT", "1"),
        ("TANDEM_LGO", "debug"),
        ("TANDEM_CACHE", "/x"),
        ("NODE", "a"),
        ("NACOS_SERVICE_HOST", "10.0.0.1"),
        ("NACOS_PORT_8848_TCP_ADDR", "10.0.0.1"),
        ("HOSTNAME", "x"),
    ];
    let notes = home.load(&environment, ALONE).unwrap().notes;
    let told: Vec<String> = notes
        .iter()
        .map(|note| match note {
            Note::Unknown(key, _) => key.clone(),
            Note::Misspelt(name, right) => format!("{name} for {right}"),
            Note::Ignored(name, _) => format!("{name} ignored"),
        })
        .collect();
    let expected = [
        "server.prot",
        "MDOE for MODE",
        "NACOS_SERVRS for NACOS_SERVERS",
        "SERVER_PROT for SERVER_PORT",
        "TANDEM_LGO for TANDEM_LOG_FORMAT",
    ];
    assert_eq!(told, expected);
}

#[test]
fn prometheus_is_shut_unless_exposed() {
    for (include, exclude, open) in [
        ("", "", false),
        ("health", "", false),
        ("*", "", true),
        ("health,prometheus", "", true),
        ("*", "prometheus", false),
    ] {
        let include = format!("-Dmanagement.endpoints.web.exposure.include={include}");
        let exclude = format!("-Dmanagement.endpoints.web.exposure.exclude={exclude}");
        let flags = [ALONE, &[include.as_str(), exclude.as_str()]].concat();
        assert_eq!(Home::with(&[]).load(&[], &flags).unwrap().prometheus, open, "{include} {exclude}");
    }
}

#[test]
fn help_names_every_honoured_key_and_variable() {
    let mut help = <Flags as clap::CommandFactory>::command().render_long_help().to_string();
    help.retain(|c| !c.is_whitespace());
    for name in ["--context-path", "NACOS_SERVERS", "nacos.naming.expireInstance", "JVM_XMS", "server.port"] {
        assert!(help.contains(name), "{name}");
    }
}
