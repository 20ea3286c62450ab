/**
 * An exchange folder (DESIGN section 6): in `in` whoever asks writes, in `out` the agent. The names in
 * `in` are fixed, so that the agent never lists a folder that a user may have filled, and so that
 * what is asked next replaces what was left. Loads nothing: the waiting agent uses it.
 */
/**
 * What may be asked at a time: one request, which is answered soon and which a worker is started
 * for, and one question, which lies there until some worker that runs has news.
 */
export type Slot = "request" | "question";

/** Where everything of a slot is. */
export interface SlotFiles {
  /** What is asked: {@link ./folder_messages.ts FolderRequest}. */
  asked: string;
  /** Where it is written before it is renamed to `asked`. */
  unfinished: string;
  /** What is being answered: `asked`, renamed by the agent. */
  taken: string;
}

/** The files of a slot of the exchange folder `folder`. */
export function slotFiles(folder: string, slot: Slot): SlotFiles {
  return {
    asked: `${asksIn(folder)}/${slot}.json`,
    unfinished: `${asksIn(folder)}/${slot}.part`,
    taken: `${asksIn(folder)}/${slot}.taken`,
  };
}

/** Where whoever asks writes. */
export function asksIn(folder: string): string {
  return `${folder}/in`;
}

/** Where the answer to the message of this id is: {@link ./folder_messages.ts FolderAnswer}. */
export function answerFile(folder: string, id: string): string {
  return `${answersIn(folder)}/${id}.json`;
}

/** Where the agent writes. */
export function answersIn(folder: string): string {
  return `${folder}/out`;
}
