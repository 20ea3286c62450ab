/** Forms: their fields, what was typed into them, and what is wrong with it. */
import { createContext, type PropsWithChildren, useContext } from "hono/jsx";
import { z } from "zod";
import { RequestProblem } from "../problems.ts";

/** What a form holds: values as typed, and what is wrong with them by field (`""`: with it all). */
export class FormState {
  constructor(
    private readonly typed: URLSearchParams = new URLSearchParams(),
    readonly errors: ReadonlyMap<string, string> = new Map(),
  ) {}

  /** The value of a field, or the first of several. */
  value(name: string): string {
    return this.typed.get(name) ?? "";
  }

  /** Whether a field of this name was sent. */
  holds(name: string): boolean {
    return this.typed.has(name);
  }

  /** Whether this value was chosen. */
  has(name: string, value: string): boolean {
    return this.typed.has(name, value);
  }
}

/** The non-empty lines of a text, without the blanks around them. */
export function lines(text: string | null): string[] {
  return (text ?? "").split("\n").map((line) => line.trim()).filter((line) => line !== "");
}

/** What came of a form: what the change gave, or the form with what is wrong. */
export type Submission<T> = { done: T } | { refused: FormState };

/**
 * Checks what a form says and does it. What does not validate, or what the change refuses for what
 * exists, comes back as the form with the reasons beside what was typed.
 */
export async function submit<T, R>(
  typed: URLSearchParams,
  schema: z.ZodType<T>,
  body: unknown,
  act: (value: T) => R | Promise<R>,
): Promise<Submission<R>> {
  const parsed = schema.safeParse(body, { reportInput: true });
  if (!parsed.success) return { refused: new FormState(typed, errorsOf(parsed.error)) };
  try {
    return { done: await act(parsed.data) };
  } catch (error) {
    if (!(error instanceof RequestProblem) || !EXPECTED.includes(error.type)) throw error;
    return { refused: new FormState(typed, new Map([["", error.message]])) };
  }
}

const EXPECTED = ["conflict", "invalid", "not-found"];

/** The first thing that is wrong with each field, by its name: its path's names joined by dots. */
export function errorsOf(error: z.ZodError): Map<string, string> {
  const errors = new Map<string, string>();
  for (const issue of error.issues) {
    const name = issue.path.filter((part) => typeof part === "string").join(".");
    if (!errors.has(name)) errors.set(name, sentence(issue));
  }
  return errors;
}

function sentence(issue: z.core.$ZodIssue): string {
  if (issue.code === "too_small" && issue.origin !== "number" && issue.minimum === 1) {
    return "Fill this in.";
  }
  if (issue.code === "too_small") return `It must be at least ${issue.minimum}.`;
  if (issue.code === "too_big" && issue.origin === "string") {
    return `It must have at most ${issue.maximum} characters.`;
  }
  if (issue.code === "too_big" && issue.origin === "array") {
    return `At most ${issue.maximum} entries are possible.`;
  }
  if (issue.code === "too_big") return `It must be at most ${issue.maximum}.`;
  if (issue.code === "invalid_type") {
    return issue.expected === "string" ? "Fill this in." : "It must be a whole number.";
  }
  if (issue.code === "invalid_value") return "Choose one of these.";
  if (issue.code === "invalid_union") {
    return `'${String(issue.input)}' is not known here; see the hint below the field.`;
  }
  const { message } = issue;
  return /^['"]/.test(message) ? `${message}.` : `It ${message}.`;
}

/** The token of the session whose page is being made; see {@link Form}. */
export const FormToken = createContext("");

/** A form that changes something; it carries the session's token. */
export function Form(
  { action, children, ...rest }: PropsWithChildren<
    { action: string; class?: string; "aria-labelledby"?: string }
  >,
) {
  return (
    <form method="post" action={action} {...rest}>
      <input type="hidden" name="token" value={useContext(FormToken)} />
      {children}
    </form>
  );
}

/** What is wrong with a form, on top of it; nothing when nothing is. */
export function Refusals({ form, prefix = "" }: { form: FormState; prefix?: string }) {
  if (form.errors.size === 0) return null;
  return (
    <div class="notice bad" role="alert">
      <strong>This could not be done yet. Nothing was changed.</strong>
      <ul>
        {[...form.errors].map(([name, error]) => (
          <li>{name === "" ? error : <a href={`#${prefix}${name}`}>{error}</a>}</li>
        ))}
      </ul>
    </div>
  );
}

/** What every field has. */
export interface FieldProps {
  form: FormState;
  name: string;
  label: string;
  hint?: string;
  /** Before the name in the element's id, where two forms of a page have the same names. */
  prefix?: string;
  wide?: boolean;
}

function Frame({ form, name, label, hint, prefix = "", wide, children }: PropsWithChildren<
  FieldProps
>) {
  const id = prefix + name;
  const error = form.errors.get(name);
  return (
    <div class={wide ? "field wide" : "field"}>
      <label for={id}>{label}</label>
      {children}
      {hint && <span class="hint" id={`${id}-hint`}>{hint}</span>}
      {error && <span class="error" id={`${id}-error`}>Error: {error}</span>}
    </div>
  );
}

function attributes({ form, name, hint, prefix = "" }: FieldProps) {
  const id = prefix + name;
  const error = form.errors.has(name);
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return {
    id,
    name,
    ...(described ? { "aria-describedby": described } : {}),
    ...(error ? { "aria-invalid": "true" as const } : {}),
  };
}

/** One line of text. */
export function TextField(
  { type = "text", required, autocomplete = "off", ...field }: FieldProps & {
    type?: "text" | "email" | "number" | "date" | "password";
    required?: boolean;
    autocomplete?: string;
  },
) {
  return (
    <Frame {...field}>
      <input
        {...attributes(field)}
        type={type}
        value={type === "password" ? "" : field.form.value(field.name)}
        required={required}
        autocomplete={autocomplete}
        spellcheck={false}
      />
    </Frame>
  );
}

/** A list: an entry a line. */
export function LinesField({ rows = 3, ...field }: FieldProps & { rows?: number }) {
  return (
    <Frame {...field}>
      <textarea {...attributes(field)} rows={rows} spellcheck={false}>
        {"\n" + field.form.value(field.name)}
      </textarea>
    </Frame>
  );
}

/** One of several: pairs of value and words. */
export function SelectField({ choices, ...field }: FieldProps & { choices: [string, string][] }) {
  return (
    <Frame {...field}>
      <select {...attributes(field)}>
        {choices.map(([value, words]) => (
          <option value={value} selected={field.form.has(field.name, value)}>{words}</option>
        ))}
      </select>
    </Frame>
  );
}

/** Any of several. */
export function ChecksField(
  { form, name, label, hint, choices }: FieldProps & { choices: [string, string][] },
) {
  const error = form.errors.get(name);
  return (
    <fieldset id={name} aria-describedby={hint ? `${name}-hint` : undefined}>
      <legend>{label}</legend>
      <div class="choices">
        {choices.map(([value, words]) => (
          <label>
            <input type="checkbox" name={name} value={value} checked={form.has(name, value)} />
            {words}
          </label>
        ))}
      </div>
      {hint && <span class="hint" id={`${name}-hint`}>{hint}</span>}
      {error && <span class="error">Error: {error}</span>}
    </fieldset>
  );
}

/** Carries values through a confirmation. */
export function Hidden({ values }: { values: URLSearchParams | Record<string, string> }) {
  return (
    <>
      {[...new URLSearchParams(values)].filter(([name]) => name !== "token")
        .map(([name, value]) => <input key={name} type="hidden" name={name} value={value} />)}
    </>
  );
}
