//! Getting in: passwords, names, and certificates.

use candlewick::store::{Access, StoreError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::postgres::{ESCAPED_PASSWORD, Server, name};
use crate::{batch, held, minutes, minutes_of, open, refusal};

/// The words of a refusal that is the server's; never with a password.
async fn words(url: &str) -> String {
    let error = refusal(url, Access::Create).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    let words = format!("{error} {error:?}");
    assert!(!words.contains("s3cret") && !words.contains("wr0ng"), "{words}");
    error.to_string()
}

#[tokio::test]
async fn who_is_not_let_in_is_told_what_to_do() {
    let server = Server::shared();
    let url = server.database();
    let shown = server.shown(name(&url));
    assert_eq!(
        words(&url.replace(ESCAPED_PASSWORD, "wr0ng%20one")).await,
        format!(
            "cannot open {shown}: password authentication failed for user \"candlewick\"; check the password (in the URL \
             or PGPASSWORD), or create the role: CREATE ROLE candlewick LOGIN PASSWORD '...'"
        )
    );
    assert_eq!(
        words(&server.url("nowhere")).await,
        format!(
            "cannot open {}: database \"nowhere\" does not exist; create it: CREATE DATABASE nowhere OWNER candlewick",
            server.shown("nowhere")
        )
    );
    let nobody = words(&url.replace("//candlewick:", "//nobody:")).await;
    assert!(nobody.contains("create the role: CREATE ROLE nobody LOGIN PASSWORD '...'"), "{nobody}");
    // Over the socket no password is asked for, and the role is missed at once.
    let socket = |user: &str| {
        let folder = server.path("").display().to_string().replace('/', "%2F");
        let port = url.split(':').next_back().unwrap().split('/').next().unwrap();
        format!("postgres://{user}@{}:{port}/{}", folder.trim_end_matches("%2F"), name(&url))
    };
    let nobody = words(&socket("nobody")).await;
    assert!(nobody.ends_with("let it in by pg_hba.conf"), "{nobody}");
    assert_eq!(open(&socket("candlewick")).await.symbols().await.unwrap(), []);
    let wrong_mode = refusal(&format!("{url}?sslmode=yes"), Access::Create).await.to_string();
    assert!(wrong_mode.contains("sslmode is one of") && !wrong_mode.contains("s3cret"), "{wrong_mode}");
    let no_tls = words(&format!("{url}?sslmode=require")).await;
    assert!(no_tls.ends_with("the server does not speak TLS, which sslmode asks for"), "{no_tls}");
}

#[tokio::test]
async fn tls_is_as_strict_as_sslmode_says() {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let server = Server::start_with(&["ssl = on"], |server| {
        server.put_file("server.crt", &certificate.pem());
        server.put_file("server.key", &key.serialize_pem());
        // Nobody comes in without TLS.
        server.put_file(
            "pg_hba.conf",
            "local all all trust\nhostssl all all all scram-sha-256\nhostnossl all all all reject\n",
        );
    });
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("authority.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let ca = ca.display();
    let url = server.database();
    let named = url.replace("127.0.0.1", "localhost");

    let store = open(&format!("{named}?sslmode=verify-full&sslrootcert={ca}")).await;
    let series = minutes_of(&*store, "BTC/USD").await;
    store.write(&batch(vec![minutes(&series, 0, 3000)])).await.unwrap();
    assert_eq!(held(&*store, &series).await, (3000, 1));
    let is_encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                        WHERE application_name = 'candlewick'";
    assert_eq!(server.sql(name(&url), is_encrypted), "t");

    for good in ["", "?sslmode=prefer", "?sslmode=require"] {
        assert_eq!(open(&format!("{url}{good}")).await.symbols().await.unwrap().len(), 1, "{good}");
    }
    for good in ["require", "verify-ca"] {
        open(&format!("{url}?sslmode={good}&sslrootcert={ca}")).await;
    }
    let name_fault = words(&format!("{url}?sslmode=verify-full&sslrootcert={ca}")).await;
    assert!(name_fault.contains("not valid for name"), "{name_fault}");
    for unknown in ["verify-ca", "verify-full"] {
        let fault = words(&format!("{named}?sslmode={unknown}")).await;
        assert!(fault.contains("UnknownIssuer"), "{fault}");
        assert!(fault.ends_with("see sslmode and sslrootcert in docs/postgresql.md"), "{fault}");
    }
    let refused = words(&format!("{url}?sslmode=disable")).await;
    assert!(refused.contains("pg_hba.conf"), "{refused}");
    let missing = words(&format!("{url}?sslmode=verify-full&sslrootcert=/nowhere/ca.pem")).await;
    assert!(missing.contains("sslrootcert /nowhere/ca.pem: "), "{missing}");
}
