/**
 * `compute` with its answers remembered: at most `entriesMax`, and none for texts longer than
 * `charsMax`. When full it forgets everything, which costs less than keeping track of use.
 */
export function remembering<Answer extends object | string | number | boolean>(
  entriesMax: number,
  charsMax: number,
  compute: (text: string) => Answer,
): (text: string) => Answer {
  const remembered = new Map<string, Answer>();
  return (text) => {
    let answer = remembered.get(text);
    if (answer === undefined) {
      answer = compute(text);
      if (remembered.size >= entriesMax) remembered.clear();
      if (text.length <= charsMax) remembered.set(text, answer);
    }
    return answer;
  };
}
