/** The one function of the saslprep package, which ships no types. Throws on prohibited input. */
declare module 'saslprep' {
  export default function saslprep(
    input: string,
    options?: { readonly allowUnassigned?: boolean },
  ): string
}
