/** What is in the files of an exchange folder: HTTP, as JSON in UTF-8. */
import { z } from "zod";

/** Longest file in `in`, bytes. */
export const LONGEST_ASKED = 64 * 1024;

/** A request or a question. */
export const FolderRequest = z.object({
  /** Names its answer. */
  id: z.uuid(),
  method: z.enum(["GET", "POST"]),
  path: z.string().regex(/^\/[!-~]*$/),
  headers: z.record(z.string(), z.string()),
  body: z.string().optional(),
});

/** An answer. */
export const FolderAnswer = z.object({
  status: z.int().min(200).max(599),
  headers: z.record(z.string(), z.string()),
  /** Absent where there is none to come (204, 304). */
  body: z.string().optional(),
});

export type FolderRequest = z.infer<typeof FolderRequest>;
export type FolderAnswer = z.infer<typeof FolderAnswer>;
