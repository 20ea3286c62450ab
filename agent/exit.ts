/** Exit codes (DESIGN section 7). */
export const EXIT = { done: 0, failed: 1, usage: 2, notEnrolled: 3, attention: 4 } as const;
