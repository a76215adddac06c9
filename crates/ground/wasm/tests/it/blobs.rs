//! Containers of objects, as a guest of others' bindings uses them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use cairn_wasm::{
    Blob, BlobError, Blobs, Container, File, HttpFunction, Limits, World, held, prepare,
};

use crate::lab::{ask, code, world};

pub(crate) type Objects = BTreeMap<String, Bytes>;

/// Containers in memory. Nothing may be put into one that is sealed.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<BTreeMap<String, Objects>>>);

impl Kept {
    pub(crate) fn all(&self) -> MutexGuard<'_, BTreeMap<String, Objects>> {
        self.0.lock().unwrap()
    }
}

struct One {
    kept: Kept,
    name: String,
}

impl One {
    fn with<T>(&self, work: impl FnOnce(&mut Objects) -> T) -> Result<T, BlobError> {
        self.kept.all().get_mut(&self.name).map(work).ok_or(BlobError::NoContainer)
    }
}

#[async_trait::async_trait]
impl Blobs for Kept {
    async fn open(&self, name: &str) -> Result<Arc<dyn Container>, BlobError> {
        let one = One { kept: self.clone(), name: name.to_owned() };
        one.with(|_| ())?;
        Ok(Arc::new(one))
    }

    async fn create(&self, name: &str) -> Result<Arc<dyn Container>, BlobError> {
        if self.all().contains_key(name) {
            return Err(BlobError::Other("there is one".to_owned()));
        }
        self.all().insert(name.to_owned(), Objects::new());
        self.open(name).await
    }

    async fn remove(&self, name: &str) -> Result<(), BlobError> {
        self.all().remove(name).map(drop).ok_or(BlobError::NoContainer)
    }

    async fn copy(&self, from: &Blob, to: &Blob, moves: bool) -> Result<(), BlobError> {
        let mut all = self.all();
        let source = all.get_mut(&from.container).ok_or(BlobError::NoContainer)?;
        let bytes = source.get(&from.name).cloned().ok_or(BlobError::NoObject)?;
        if moves {
            source.remove(&from.name);
        }
        let target = all.get_mut(&to.container).ok_or(BlobError::NoContainer)?;
        target.insert(to.name.clone(), bytes);
        Ok(())
    }
}

#[async_trait::async_trait]
impl Container for One {
    async fn made(&self) -> Result<Duration, BlobError> {
        Ok(Duration::from_secs(1))
    }

    async fn object(&self, name: &str) -> Result<Arc<dyn File>, BlobError> {
        self.with(|objects| objects.get(name).cloned())?.map(held).ok_or(BlobError::NoObject)
    }

    // Two names at a time, so that guests ask again and again.
    async fn list(&self, after: Option<&str>) -> Result<Vec<String>, BlobError> {
        self.with(|objects| {
            let left =
                objects.keys().filter(|name| after.is_none_or(|after| name.as_str() > after));
            left.take(2).cloned().collect()
        })
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BlobError> {
        if self.name == "sealed" {
            return Err(BlobError::Denied("put anything here".to_owned()));
        }
        self.with(|objects| drop(objects.insert(name.to_owned(), bytes)))
    }

    async fn delete(&self, names: &[String]) -> Result<(), BlobError> {
        self.with(|objects| objects.retain(|name, _| !names.contains(name)))
    }

    async fn clear(&self) -> Result<(), BlobError> {
        self.with(Objects::clear)
    }
}

/// The sample with a container of this name.
async fn shelf(kept: &Kept, container: &str, limits: Limits) -> HttpFunction {
    static BUILT: OnceLock<Bytes> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let module = std::fs::read(cairn_testkit::guests::rust("shelf").unwrap()).unwrap();
        prepare(&module).unwrap().component
    });
    let (world, _) = world();
    let environment = vec![("CONTAINER".to_owned(), container.to_owned())];
    let world = World { environment, blobs: Arc::new(kept.clone()), ..world };
    HttpFunction::new(&code(built.clone()).await, limits, world).unwrap()
}

#[tokio::test]
async fn a_guest_puts_objects_into_a_container_and_takes_them_out() {
    let kept = Kept::default();
    let shelf = shelf(&kept, "books", Limits::default()).await;
    let long = "0123456789".repeat(50_000);
    for (method, path, body, status, expected) in [
        ("GET", "/", "", 404, "there is no such container\n"),
        ("GET", "/?exists", "", 200, "false\n"),
        ("PUT", "/", "", 201, "books\n"),
        ("PUT", "/", "", 409, "there is one\n"),
        ("GET", "/?exists", "", 200, "true\n"),
        ("GET", "/?info", "", 200, "books true\n"),
        ("GET", "/", "", 200, ""),
        ("PUT", "/a", "alpha", 201, ""),
        ("PUT", "/b/c?after", long.as_str(), 201, ""),
        ("PUT", "/d", "", 201, ""),
        ("PUT", "/e?unfinished", "half", 201, ""),
        ("GET", "/", "", 200, "a\nb/c\nd\n"),
        ("GET", "/a", "", 200, "alpha"),
        ("GET", "/b/c", "", 200, long.as_str()),
        ("GET", "/b/c?whole", "", 200, "500000 bytes\n"),
        ("GET", "/b/c?info", "", 200, "books/b/c 500000 false\n"),
        ("GET", "/d", "", 200, ""),
        ("GET", "/e", "", 404, "there is no such object\n"),
        ("GET", "/e?exists", "", 200, "false\n"),
        ("POST", "/f?copy=a", "", 201, ""),
        ("POST", "/g?move=d", "", 201, ""),
        ("POST", "/h?copy=d", "", 404, "there is no such object\n"),
        ("GET", "/", "", 200, "a\nb/c\nf\ng\n"),
        ("DELETE", "/a,f,missing", "", 200, ""),
        ("DELETE", "/missing", "", 200, ""),
        ("GET", "/", "", 200, "b/c\ng\n"),
        ("DELETE", "/", "", 200, ""),
        ("GET", "/", "", 200, ""),
        ("DELETE", "/?container", "", 200, ""),
        ("DELETE", "/?container", "", 404, "there is no such container\n"),
    ] {
        let answer = ask(&shelf, method, path, body).await.unwrap();
        assert_eq!(answer, (status, expected.to_owned()), "{method} {path}");
    }
}

#[tokio::test]
async fn a_guest_reads_a_part_of_an_object() {
    let kept = Kept::default();
    kept.all().insert("books".to_owned(), [("a".to_owned(), "abcdef".into())].into());
    let shelf = shelf(&kept, "books", Limits::default()).await;
    for (range, status, expected) in [
        ("bytes=0-0", 206, "a"),
        ("bytes=1-3", 206, "bcd"),
        ("bytes=4-", 206, "ef"),
        ("bytes=4-100", 206, "ef"),
        ("bytes=6-100", 206, ""),
        ("bytes=3-2", 409, "there are no bytes from 3 to 2: the last one counts too\n"),
    ] {
        let body = cairn_wasm::whole(Bytes::new());
        let request = http::Request::get("http://localhost/a").header("range", range);
        let answer = shelf.handle(request.body(body).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{range}");
        let told = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        assert_eq!(told, expected.as_bytes(), "{range}");
    }
}

#[tokio::test]
async fn what_a_call_has_not_finished_is_bounded_and_a_refusal_is_told() {
    let kept = Kept::default();
    for name in ["books", "sealed"] {
        kept.all().insert(name.to_owned(), Objects::new());
    }
    let limits = Limits { output_bytes: 1000, ..Limits::default() };
    let small = shelf(&kept, "books", limits).await;
    assert_eq!(ask(&small, "PUT", "/a", &"x".repeat(1000)).await.unwrap().0, 201);
    let (status, told) = ask(&small, "PUT", "/b", &"x".repeat(1001)).await.unwrap();
    assert!(status == 409 && told.contains("limits.output_bytes"), "{status} {told}");
    assert_eq!(ask(&small, "GET", "/", "").await.unwrap().1, "a\n");
    let sealed = shelf(&kept, "sealed", Limits::default()).await;
    let refused = (403, "the function may not put anything here\n".to_owned());
    assert_eq!(ask(&sealed, "PUT", "/a", "x").await.unwrap(), refused);
}
