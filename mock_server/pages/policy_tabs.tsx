/** The parts of Security Management > Conditional Policies. */

const TABS = [
  ["/admin/policies", "Policies"],
  ["/admin/policies/dry-run", "Dry run"],
  ["/admin/policies/settings", "Settings"],
] as const;

/** The way from one part to another. */
export function PolicyTabs({ current }: { current: typeof TABS[number][0] }) {
  return (
    <nav class="tabs" aria-label="Conditional Policies">
      <ul>
        {TABS.map(([path, name]) => (
          <li>
            <a href={path} aria-current={path === current ? "page" : undefined}>{name}</a>
          </li>
        ))}
      </ul>
    </nav>
  );
}
