/** What every page of this server is put into. */
import { raw } from "hono/html";
import type { PropsWithChildren } from "hono/jsx";
import { STYLE } from "./style.ts";

/** A whole HTML document; `children` are its body. */
export function Document({ title, children }: PropsWithChildren<{ title: string }>) {
  return (
    <>
      {raw("<!DOCTYPE html>")}
      <html lang="en">
        <head>
          <meta charset="utf-8" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <title>{title}</title>
          <style>{raw(STYLE)}</style>
        </head>
        <body>{children}</body>
      </html>
    </>
  );
}

/** The product's sign: a shield that holds. */
export function Sign() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path
        d="M16 2 4 6.5v8.7C4 22.6 9.1 28 16 30c6.9-2 12-7.4 12-14.8V6.5z"
        fill="light-dark(#2450c8, #a3bcff)"
      />
      <path
        d="m10.5 16 4 4 7.5-8.5"
        fill="none"
        stroke="light-dark(#fff, #0c1836)"
        stroke-width="3"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
