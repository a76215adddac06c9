//! The functions as the adapter of a module calls them.

use base64ct::{Base64, Encoding as _};
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::I32Exit;

use self::bindings::cairn::compute::{adapter, exchange};
use super::buffers::{PART_BYTES_MAX, pairs};
use super::{INPUT, entry_hash};
use crate::guest::Guest;
use crate::logs::Stream;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "cairn:compute/exchange-imports",
        imports: { default: async | trappable },
    });
}

type Bytes = Vec<u8>;
type Told = wasmtime::Result<i32>;

pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    bindings::ExchangeImports::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

impl Guest {
    /// 0 where it was done.
    fn done(&self, what: &str, done: Result<(), String>) -> Told {
        Ok(done.map_or_else(|why| self.undone(what, &why), |()| 0))
    }

    /// A number where it was done.
    fn number(&self, what: &str, done: Result<i32, String>) -> Told {
        Ok(done.unwrap_or_else(|why| self.undone(what, &why)))
    }

    /// What is not a function's to do here.
    fn refused(&self, what: &str, instead: &str) -> Told {
        Ok(self.undone(what, &format!("a function changes no cluster; {instead}")))
    }
}

impl exchange::Host for Guest {
    async fn get_input_buffer_id(&mut self) -> Told {
        Ok(INPUT)
    }

    async fn get_output_buffer_id(&mut self) -> Told {
        Ok(self.output())
    }

    async fn create_exchange_buffer(&mut self) -> Told {
        Ok(self.made("create_exchange_buffer", &[]))
    }

    async fn write_exchange_buffer(&mut self, id: i32, content: Bytes) -> Told {
        let written = i32::try_from(content.len()).unwrap_or(i32::MAX);
        let done = self.append(id, &content).map(|()| written);
        self.number("write_exchange_buffer", done)
    }

    async fn write_exchange_buffer_header(&mut self, id: i32, name: Bytes, value: Bytes) -> Told {
        let done = self.set_header(id, &text(&name), &text(&value));
        self.done("write_exchange_buffer_header", done)
    }

    async fn write_exchange_buffer_status_code(&mut self, id: i32, status: i32) -> Told {
        let done = self.set_status(id, status);
        self.done("write_exchange_buffer_status_code", done)
    }

    async fn read_exchange_buffer_headers(&mut self, id: i32) -> Told {
        let headers = self.headers(id);
        let all = pairs(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        Ok(self.made("read_exchange_buffer_headers", &all))
    }

    async fn free_buffer(&mut self, id: i32) -> Told {
        self.free(id);
        Ok(0)
    }

    async fn base64_decode(&mut self, encoded: Bytes) -> Told {
        match Base64::decode_vec(&text(&encoded)) {
            Ok(bytes) => Ok(self.made("base64_decode", &bytes)),
            Err(error) => self.number("base64_decode", Err(error.to_string())),
        }
    }

    async fn base64_encode(&mut self, input: Bytes) -> Told {
        let encoded = Base64::encode_string(&input);
        Ok(self.made("base64_encode", encoded.as_bytes()))
    }

    async fn register_blob_with_name(&mut self, name: Bytes, _: Bytes, content: Bytes) -> Told {
        let kept = self.blob_put(Some(name), content).await;
        let done = kept.map(|hash| self.made("register_blob_with_name", hash.as_bytes()));
        self.number("register_blob_with_name", done)
    }

    async fn register_blob(&mut self, _: Bytes, content: Bytes) -> Told {
        let kept = self.blob_put(None, content).await;
        let done = kept.map(|hash| self.made("register_blob", hash.as_bytes()));
        self.number("register_blob", done)
    }

    async fn get_blob_tech_id_from_name(&mut self, name: Bytes) -> Told {
        let done = self.blob_get("names", name).await;
        self.number("get_blob_tech_id_from_name", done)
    }

    async fn get_blob_bytes_as_string(&mut self, name: Bytes) -> Told {
        let done = self.blob_get("blobs", name).await;
        self.number("get_blob_bytes_as_string", done)
    }

    async fn plug_function(
        &mut self,
        _: Bytes,
        _: Bytes,
        _: Bytes,
        _: Bytes,
        _: Bytes,
        _: Bytes,
    ) -> Told {
        self.refused("plug_function", "`cairn route add` leads requests to a function")
    }

    async fn plug_file(&mut self, _: Bytes, _: Bytes, _: Bytes, _: Bytes) -> Told {
        self.refused("plug_file", "`cairn route add` leads requests to files of a dataset")
    }

    async fn unplug_path(&mut self, _: Bytes, _: Bytes) -> Told {
        self.refused("unplug_path", "`cairn route rm` removes a route")
    }

    async fn get_status(&mut self) -> Told {
        let (current, created) = (self.exchange.buffers.len(), self.exchange.created);
        let status = format!(
            "{{\"nb_created_buffers\":{created},\"nb_current_buffers\":{current},\"nb_received_request\":1}}"
        );
        Ok(self.made("get_status", status.as_bytes()))
    }

    async fn persistence_set(&mut self, key: Bytes, value: Bytes) -> Told {
        let done = self.key_set(key, value).await;
        self.done("persistence_set", done)
    }

    async fn get_url(&mut self, url: Bytes) -> Told {
        let done = self.got(&text(&url)).await;
        self.number("get_url", done)
    }

    async fn persistence_get(&mut self, key: Bytes) -> Told {
        let found = self.key_get(key).await;
        let done = found.map(|value| self.made("persistence_get", &value));
        self.number("persistence_get", done)
    }

    async fn persistence_get_subset(&mut self, prefix: Bytes) -> Told {
        let found = self.key_subset(prefix).await;
        let done = found.map(|pairs| self.made("persistence_get_subset", &pairs));
        self.number("persistence_get_subset", done)
    }

    async fn print_debug(&mut self, text: Bytes) -> Told {
        for line in text.split(|byte| *byte == b'\n') {
            self.budget.line(Stream::Stdout, line);
        }
        Ok(0)
    }

    async fn call_function(
        &mut self,
        name: Bytes,
        _: Bytes,
        _: Bytes,
        _: Bytes,
        input: i32,
        output: i32,
        _: Bytes,
        _: Bytes,
    ) -> Told {
        let done = match self.function(&text(&name), (input, output)).await {
            Ok(200..=399) => Ok(0),
            Ok(status) => Err(format!("it was answered with status {status}")),
            Err(why) => Err(why),
        };
        self.number("call_function", done)
    }

    async fn export_database(&mut self) -> Told {
        self.refused("export_database", "`cairn backup` copies a cluster")
    }

    async fn beta_web_proxy(&mut self, spec: Bytes) -> Told {
        let done = self.proxied(&spec).await.map(|_| 0);
        self.number("beta_web_proxy", done)
    }

    async fn is_trace(&mut self) -> Told {
        Ok(i32::from(matches!(self.environment("TRACE"), Some("1" | "true"))))
    }

    async fn plug_filter(&mut self, _: Bytes, _: Bytes, _: Bytes) -> Told {
        self.refused("plug_filter", "`cairn filter add` puts a function before others")
    }

    async fn unplug_filter(&mut self, _: Bytes) -> Told {
        self.refused("unplug_filter", "`cairn filter rm` removes a filter")
    }
}

impl adapter::Host for Guest {
    async fn buffer_size(&mut self, id: i32) -> wasmtime::Result<u32> {
        let size = self.size(id).await.map_err(wasmtime::Error::msg)?;
        Ok(u32::try_from(size).unwrap_or(u32::MAX))
    }

    async fn buffer_part(&mut self, id: i32, at: u32, most: u32) -> wasmtime::Result<Bytes> {
        let most = usize::try_from(most).unwrap_or(PART_BYTES_MAX);
        let read = self.part(id, at.into(), most).await;
        // A part that is missing would be taken for the end.
        Ok(read.map_err(wasmtime::Error::msg)?.into())
    }

    async fn now(&mut self) -> wasmtime::Result<i64> {
        Ok(self.exchange.env.clock.wall_ns())
    }

    async fn is_entry(&mut self, hash: u64) -> wasmtime::Result<bool> {
        Ok(self.environment("START_FUNCTION").map_or(0, entry_hash) == hash)
    }

    async fn no_entry(&mut self) -> wasmtime::Result<()> {
        let why = match self.environment("START_FUNCTION") {
            Some(name) => {
                format!("it exports no function {name:?} of 32-bit integers: START_FUNCTION")
            }
            None => "it exports no _start and no main: START_FUNCTION says which function begins"
                .to_owned(),
        };
        Err(wasmtime::Error::msg(why))
    }

    async fn argument(&mut self, at: u32) -> wasmtime::Result<i32> {
        let call = self.called.as_ref();
        let arguments = call.map_or(&[][..], |call| &call.arguments);
        let argument = arguments.iter().skip(1).nth(at as usize);
        Ok(argument.and_then(|argument| argument.parse().ok()).unwrap_or(0))
    }

    async fn ended(&mut self, answer: i32) -> wasmtime::Result<()> {
        if answer == 0 {
            return Ok(());
        }
        Err(I32Exit(answer).into())
    }

    async fn aborted(
        &mut self,
        message: Bytes,
        file: Bytes,
        line: u32,
        column: u32,
    ) -> wasmtime::Result<()> {
        let (message, file) = (utf16(&message), utf16(&file));
        Err(wasmtime::Error::msg(format!("abort: {message} in {file}({line}:{column})")))
    }

    async fn seed(&mut self) -> wasmtime::Result<f64> {
        let bits = self.exchange.env.rng.next_u64();
        // As many bits as a fraction has.
        #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
        Ok((bits >> 11) as f64 / (1u64 << 53) as f64)
    }
}
