/** The agent server's word that a key gets no leaf, however often it is asked. */
import { Problem } from "../platform/errors.ts";

/** This key was another user's here, or was compromised: only another key helps. */
export class KeyRefused extends Problem {
  constructor(message: string) {
    super("server-refused", message);
  }
}
