/**
 * The keychain's own password: random, in the login keychain under the name that the document
 * gives, changed at every install, and never out of step with the keychain whatever is killed when.
 *
 * A change writes the next password into an item of its own, changes the keychain, writes the main
 * item and removes the other. While that other item is there, either may be the right one, and the
 * keychain itself is asked.
 */
import { Problem } from "../errors.ts";
import { type RandomBytes, randomPassword } from "./encrypted_key.ts";
import { AUTH_FAILED, explainSecurity, ITEM_NOT_FOUND, OK } from "./keychain_trouble.ts";
import type { SecurityAnswer, SecurityTool } from "./security_command.ts";
import { SECURITY } from "./security_commands.ts";

/** What the password item is called in Keychain Access, and its service. */
export function passwordItemName(brand: string): string {
  return `${brand} Device Trust Keychain Password`;
}

/** The passwords of one user's keychain. */
export class KeychainPassword {
  readonly #tool: SecurityTool;
  readonly #login: string;
  /** Services of the items. */
  readonly #main: string;
  readonly #next: string;
  readonly #random: RandomBytes;

  /** @param login path of the login keychain, which is open */
  constructor(
    tool: SecurityTool,
    { login, brand, random }: { login: string; brand: string; random: RandomBytes },
  ) {
    this.#tool = tool;
    this.#login = login;
    this.#main = passwordItemName(brand);
    this.#next = `${this.#main} (next)`;
    this.#random = random;
  }

  /** The password as the user would be shown it; undefined when there is none. @throws Problem */
  async read(): Promise<string | undefined> {
    return await this.#get(this.#main);
  }

  /**
   * Opens the keychain, and ends a change of the password that was interrupted.
   *
   * @returns the password, or undefined when none that is stored is the keychain's
   * @throws Problem `store-locked` for what passes by itself
   */
  async unlock(keychain: string): Promise<string | undefined> {
    const main = await this.#get(this.#main);
    const next = await this.#get(this.#next);
    if (next === undefined) {
      return main !== undefined && await this.#opens(keychain, main) ? main : undefined;
    }
    // Only a closed keychain tells them apart.
    await this.#tool.do(SECURITY.lockKeychain(keychain), `Cannot lock ${keychain}`);
    if (main !== undefined && await this.#opens(keychain, main)) {
      await this.#remove(this.#next);
      return main;
    }
    if (!await this.#opens(keychain, next)) return undefined;
    await this.#settle(next);
    return next;
  }

  /** Calls `make` with a new password for a keychain that is not there, and keeps it. */
  async create(make: (password: string) => Promise<void>): Promise<string> {
    const password = randomPassword(this.#random);
    await this.#set(this.#next, password);
    await make(password);
    await this.#settle(password);
    return password;
  }

  /**
   * Gives an open keychain another password and reads it back.
   *
   * @throws Problem `store-locked` as {@link confirm} does
   */
  async rotate(keychain: string, current: string): Promise<string> {
    const password = randomPassword(this.#random);
    await this.#set(this.#next, password);
    const change = SECURITY.setKeychainPassword(keychain, current, password);
    const answer = await this.#tool.attempt(change);
    if (answer.code === AUTH_FAILED) await this.confirm(keychain, current);
    this.#check(`Cannot change the password of ${keychain}`, change.words[0], answer);
    await this.#settle(password);
    return password;
  }

  /**
   * Sees that a password is the keychain's, which an open keychain does not tell.
   *
   * @throws Problem `store-locked` when somebody else changed it: the keychain is closed then, and
   * the next {@link unlock} knows that it is lost
   */
  async confirm(keychain: string, password: string): Promise<void> {
    await this.#tool.do(SECURITY.lockKeychain(keychain), `Cannot lock ${keychain}`);
    if (await this.#opens(keychain, password)) return;
    const message = `Somebody changed the password of ${keychain}. It is made anew.`;
    throw new Problem("store-locked", message);
  }

  /** Removes both items; absent is success; read back. @returns whether there was one */
  async remove(): Promise<boolean> {
    const removed = [await this.#remove(this.#next), await this.#remove(this.#main)];
    return removed.includes(true);
  }

  /** Makes `password` the one that counts. */
  async #settle(password: string): Promise<void> {
    await this.#set(this.#main, password);
    await this.#remove(this.#next);
  }

  async #opens(keychain: string, password: string): Promise<boolean> {
    const command = SECURITY.unlockKeychain(keychain, password);
    const answer = await this.#tool.attempt(command);
    if (answer.code === AUTH_FAILED) return false;
    this.#check(`Cannot unlock ${keychain}`, command.words[0], answer);
    return true;
  }

  async #get(item: string): Promise<string | undefined> {
    const command = SECURITY.password(item, this.#login);
    const answer = await this.#tool.attempt(command);
    if (answer.code === ITEM_NOT_FOUND) return undefined;
    this.#check(`Cannot read '${item}'`, command.words[0], answer);
    return answer.stdout.replace(/\n$/, "");
  }

  async #set(item: string, password: string): Promise<void> {
    const doing = `Cannot keep '${item}'`;
    await this.#tool.do(SECURITY.setPassword(item, password, this.#login), doing);
    if (await this.#get(item) !== password) {
      throw new Problem("internal", `${doing}: it is another one when read back.`);
    }
  }

  async #remove(item: string): Promise<boolean> {
    const doing = `Cannot remove '${item}'`;
    const command = SECURITY.deletePassword(item, this.#login);
    const answer = await this.#tool.attempt(command);
    if (answer.code === ITEM_NOT_FOUND) return false;
    this.#check(doing, command.words[0], answer);
    if (await this.#get(item) === undefined) return true;
    throw new Problem("internal", `${doing}: it is there when read back.`);
  }

  #check(doing: string, command: string, answer: SecurityAnswer): void {
    if (answer.code !== OK) throw explainSecurity(doing, command, answer);
  }
}
