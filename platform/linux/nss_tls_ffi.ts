/**
 * NSS's own TLS library (libssl3) and NSPR's sockets through Deno FFI: one checked call each, no
 * policy. As in nss_ffi.ts every call blocks, layouts are LP64, and a returned {@link Handle} is the
 * caller's to give back with the call that its comment names.
 */
import { NssMissing, NssResults } from "./nss_errors.ts";
import { copyItem, cString, type Handle, walkList } from "./nss_memory.ts";

/** SSL_OptionSet (ssl.h), and versions (sslproto.h). */
const SSL_NO_CACHE = 9;
const SSL_LIBRARY_VERSION_TLS_1_2 = 0x0303;
const SSL_LIBRARY_VERSION_TLS_1_3 = 0x0304;

/** PRNetAddr (prio.h): 112 bytes; families as on Linux. PR_IpAddrNull leaves the address alone. */
const PR_NET_ADDR_SIZE = 112;
const PR_AF_INET = 2;
const PR_AF_INET6 = 10;
const PR_IP_ADDR_NULL = 0;

const PR_FALSE = 0;
const SECSuccess = 0;
const SECFailure = -1;

/** PR_IO_TIMEOUT_ERROR (prerr.h). */
export const PR_IO_TIMEOUT_ERROR = -5990;

/** offsetof in struct CERTCertificateStr (certt.h): derCert. */
const CERT_DER = 120;

/** offsetof in struct CERTDistNamesStr (certt.h), and sizeof(SECItem). */
const DIST_NAMES_COUNT = 8;
const DIST_NAMES = 16;
const SEC_ITEM_SIZE = 24;

/** offsetof and sizeof of struct SSLChannelInfoStr (sslt.h). */
const CHANNEL_PROTOCOL_VERSION = 4;
const CHANNEL_INFO_SIZE = 136;

const SYMBOLS = {
  nss: {
    PK11_FindKeyByAnyCert: { parameters: ["pointer", "pointer"], result: "pointer" },
    CERT_DupCertificate: { parameters: ["pointer"], result: "pointer" },
    CERT_DestroyCertList: { parameters: ["pointer"], result: "void" },
  },
  ssl: {
    NSS_SetDomesticPolicy: { parameters: [], result: "i32" },
    SSL_ImportFD: { parameters: ["pointer", "pointer"], result: "pointer" },
    SSL_OptionSet: { parameters: ["pointer", "i32", "isize"], result: "i32" },
    SSL_VersionRangeSet: { parameters: ["pointer", "buffer"], result: "i32" },
    SSL_SetURL: { parameters: ["pointer", "buffer"], result: "i32" },
    SSL_AuthCertificateHook: { parameters: ["pointer", "function", "pointer"], result: "i32" },
    SSL_GetClientAuthDataHook: { parameters: ["pointer", "function", "pointer"], result: "i32" },
    SSL_PeerCertificateChain: { parameters: ["pointer"], result: "pointer" },
    SSL_ResetHandshake: { parameters: ["pointer", "i32"], result: "i32" },
    SSL_ForceHandshakeWithTimeout: { parameters: ["pointer", "u32"], result: "i32" },
    SSL_GetChannelInfo: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
    SSL_ClearSessionCache: { parameters: [], result: "void" },
  },
  nspr: {
    PR_MillisecondsToInterval: { parameters: ["u32"], result: "u32" },
    PR_OpenTCPSocket: { parameters: ["i32"], result: "pointer" },
    PR_StringToNetAddr: { parameters: ["buffer", "buffer"], result: "i32" },
    PR_SetNetAddr: { parameters: ["i32", "u16", "u16", "buffer"], result: "i32" },
    PR_Connect: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
    PR_Send: { parameters: ["pointer", "buffer", "i32", "i32", "u32"], result: "i32" },
    PR_Recv: { parameters: ["pointer", "buffer", "i32", "i32", "u32"], result: "i32" },
    PR_Close: { parameters: ["pointer"], result: "i32" },
  },
} as const satisfies Record<string, Deno.ForeignLibraryInterface>;

const AUTH_CERTIFICATE = {
  parameters: ["pointer", "pointer", "i32", "i32"],
  result: "i32",
} as const;

const CLIENT_AUTH_DATA = {
  parameters: ["pointer", "pointer", "pointer", "pointer", "pointer"],
  result: "i32",
} as const;

/** What a TLS connection asks back while it is made. What they throw ends the handshake. */
export interface TlsQuestions {
  /** Throws unless the server is who it should be. DER, the server's own certificate first. */
  verifyServer(chain: Uint8Array[]): void;
  /** The certificate to present; undefined presents none. Names are DER. */
  chooseCertificate(caNames: Uint8Array[]): Handle | undefined;
}

/** A TLS connection. {@link NssTls.closeConnection} gives it back. */
export interface TlsConnection {
  readonly socket: Handle;
  readonly callbacks: readonly { close(): void }[];
  /** What a {@link TlsQuestions} threw. */
  readonly thrown: { error?: unknown };
}

/** The loaded library; it stays loaded for the life of the process. */
export class NssTls {
  readonly #nss = Deno.dlopen("libnss3.so", SYMBOLS.nss).symbols;
  readonly #ssl = Deno.dlopen("libssl3.so", SYMBOLS.ssl).symbols;
  readonly #nspr = Deno.dlopen("libnspr4.so", SYMBOLS.nspr).symbols;
  readonly #results = new NssResults();

  static #loaded: NssTls | undefined;

  /** @throws NssMissing */
  static load(): NssTls {
    try {
      return NssTls.#loaded ??= new NssTls();
    } catch (cause) {
      throw new NssMissing("the library libssl3 (of libnss3) cannot be loaded", { cause });
    }
  }

  /** Forgets sessions, which hold certificates: before the database is closed. */
  clearSessions(): void {
    this.#ssl.SSL_ClearSessionCache();
  }

  /** Connects to an IP address. Give back: closeConnection. */
  connect(
    address: { ip: string; port: number; host: string },
    questions: TlsQuestions,
    timeoutMs: number,
  ): TlsConnection {
    const plain = this.#connectTcp(address.ip, address.port, timeoutMs);
    this.#results.check("NSS_SetDomesticPolicy", this.#ssl.NSS_SetDomesticPolicy());
    const socket = this.#ssl.SSL_ImportFD(null, plain);
    if (socket === null) {
      const error = this.#results.failure("SSL_ImportFD");
      this.#nspr.PR_Close(plain);
      throw error;
    }
    const connection = this.#ask(socket, questions);
    try {
      this.#configure(socket, address.host);
      return connection;
    } catch (error) {
      this.closeConnection(connection);
      throw error;
    }
  }

  /** Throws what a question threw, else NssError. */
  handshake({ socket, thrown }: TlsConnection, timeoutMs: number): void {
    const interval = this.#nspr.PR_MillisecondsToInterval(timeoutMs);
    const status = this.#ssl.SSL_ForceHandshakeWithTimeout(socket, interval);
    if ("error" in thrown) throw thrown.error;
    this.#results.check("SSL_ForceHandshakeWithTimeout", status);
  }

  /** `TLSv1.2` or `TLSv1.3`. */
  protocol({ socket }: TlsConnection): string {
    const info = new Uint8Array(CHANNEL_INFO_SIZE);
    const status = this.#ssl.SSL_GetChannelInfo(socket, info, info.length);
    this.#results.check("SSL_GetChannelInfo", status);
    const version = new DataView(info.buffer).getUint16(CHANNEL_PROTOCOL_VERSION, true);
    return version === SSL_LIBRARY_VERSION_TLS_1_3 ? "TLSv1.3" : "TLSv1.2";
  }

  /** Sends all of it. */
  send({ socket }: TlsConnection, bytes: Uint8Array<ArrayBuffer>, timeoutMs: number): void {
    const interval = this.#nspr.PR_MillisecondsToInterval(timeoutMs);
    const sent = this.#nspr.PR_Send(socket, bytes, bytes.length, 0, interval);
    if (sent !== bytes.length) throw this.#results.failure("PR_Send");
  }

  /** The next bytes; none at the end. */
  receive({ socket, thrown }: TlsConnection, timeoutMs: number): Uint8Array {
    const buffer = new Uint8Array(16 * 1024);
    const interval = this.#nspr.PR_MillisecondsToInterval(timeoutMs);
    const count = this.#nspr.PR_Recv(socket, buffer, buffer.length, 0, interval);
    if ("error" in thrown) throw thrown.error;
    if (count < 0) throw this.#results.failure("PR_Recv");
    return buffer.subarray(0, count);
  }

  closeConnection({ socket, callbacks }: TlsConnection): void {
    this.#nspr.PR_Close(socket);
    for (const callback of callbacks) callback.close();
  }

  #connectTcp(ip: string, port: number, timeoutMs: number): Handle {
    const address = new Uint8Array(PR_NET_ADDR_SIZE);
    const family = ip.includes(":") ? PR_AF_INET6 : PR_AF_INET;
    this.#results.check("PR_StringToNetAddr", this.#nspr.PR_StringToNetAddr(cString(ip), address));
    const status = this.#nspr.PR_SetNetAddr(PR_IP_ADDR_NULL, family, port, address);
    this.#results.check("PR_SetNetAddr", status);
    const socket = this.#results.need("PR_OpenTCPSocket", this.#nspr.PR_OpenTCPSocket(family));
    const interval = this.#nspr.PR_MillisecondsToInterval(timeoutMs);
    if (this.#nspr.PR_Connect(socket, address, interval) === 0) return socket;
    const error = this.#results.failure("PR_Connect");
    this.#nspr.PR_Close(socket);
    throw error;
  }

  #configure(socket: Handle, host: string): void {
    const range = new Uint16Array([SSL_LIBRARY_VERSION_TLS_1_2, SSL_LIBRARY_VERSION_TLS_1_3]);
    const noCache = this.#ssl.SSL_OptionSet(socket, SSL_NO_CACHE, 1n);
    this.#results.check("SSL_OptionSet", noCache);
    this.#results.check(
      "SSL_VersionRangeSet",
      this.#ssl.SSL_VersionRangeSet(socket, new Uint8Array(range.buffer)),
    );
    this.#results.check("SSL_SetURL", this.#ssl.SSL_SetURL(socket, cString(host)));
    this.#results.check("SSL_ResetHandshake", this.#ssl.SSL_ResetHandshake(socket, PR_FALSE));
  }

  #ask(socket: Handle, questions: TlsQuestions): TlsConnection {
    const thrown: { error?: unknown } = {};
    const guard = (work: () => number) => {
      try {
        return work();
      } catch (error) {
        thrown.error = error;
        return SECFailure;
      }
    };
    const verify = new Deno.UnsafeCallback(AUTH_CERTIFICATE, (_arg, fd) =>
      guard(() => {
        questions.verifyServer(this.#peerChain(fd));
        return SECSuccess;
      }));
    const choose = new Deno.UnsafeCallback(
      CLIENT_AUTH_DATA,
      (_arg, _fd, names, certificateOut, keyOut) =>
        guard(() => {
          const certificate = questions.chooseCertificate(distNames(names));
          if (certificate === undefined) return SECFailure;
          const key = this.#nss.PK11_FindKeyByAnyCert(certificate, null);
          writePointer(keyOut, this.#results.need("PK11_FindKeyByAnyCert", key));
          writePointer(certificateOut, this.#dup(certificate));
          return SECSuccess;
        }),
    );
    this.#ssl.SSL_AuthCertificateHook(socket, verify.pointer, null);
    this.#ssl.SSL_GetClientAuthDataHook(socket, choose.pointer, null);
    return { socket, callbacks: [verify, choose], thrown };
  }

  #peerChain(socket: Deno.PointerValue): Uint8Array[] {
    const name = "SSL_PeerCertificateChain";
    const list = this.#results.need(name, this.#ssl.SSL_PeerCertificateChain(socket));
    const chain = walkList(list).map((certificate) => copyItem(certificate, CERT_DER));
    this.#nss.CERT_DestroyCertList(list);
    return chain;
  }

  #dup(certificate: Handle): Handle {
    return this.#results.need("CERT_DupCertificate", this.#nss.CERT_DupCertificate(certificate));
  }
}

/** The names of a CERTDistNames. */
function distNames(pointer: Deno.PointerValue): Uint8Array[] {
  if (pointer === null) return [];
  const view = new Deno.UnsafePointerView(pointer);
  const items = view.getPointer(DIST_NAMES);
  if (items === null) return [];
  const count = view.getInt32(DIST_NAMES_COUNT);
  return Array.from({ length: count }, (_, at) => copyItem(items, at * SEC_ITEM_SIZE));
}

function writePointer(target: Deno.PointerValue, value: Handle): void {
  if (target === null) return;
  const memory = new Deno.UnsafePointerView(target).getArrayBuffer(8);
  new DataView(memory).setBigUint64(0, Deno.UnsafePointer.value(value), true);
}
