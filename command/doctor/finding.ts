/** `warning`: it works, and should be set right. `fault`: policies do not move, or will not for long. */
export const GRADES = ['ok', 'warning', 'fault'] as const;
export type Grade = (typeof GRADES)[number];

/** One line of the doctor's: what was looked at, and where it is not ok what to do. Holds no secret. */
export interface Finding {
  about: string;
  grade: Grade;
  message: string;
}

/** Findings about one thing. */
export function about(what: string) {
  const graded =
    (grade: Grade) =>
    (message: string): Finding => ({ about: what, grade, message: message.replace(/\s+/g, ' ') });
  return { ok: graded('ok'), warning: graded('warning'), fault: graded('fault') };
}
