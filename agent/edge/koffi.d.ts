/** What is used of the package. It may be missing, or not made for this machine: whoever loads it must be ready for that. */
declare module 'koffi' {
  type Call = (...values: (number | bigint)[]) => number;
  interface Library {
    /** A C prototype. Throws where there is no such function. */
    func(prototype: string): Call;
  }
  interface Koffi {
    /** Null: what this process has loaded itself. */
    load(path: string | null): Library;
    /** Of memory that does not move as long as somebody has it. */
    address(memory: ArrayBufferView): bigint;
    /** Of the last call of this thread. */
    errno(): number;
  }
  const koffi: Koffi;
  export default koffi;
}
