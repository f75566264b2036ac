/** Words of a command line such as MINUTES=1, which go before the environment: a list of commands has none. */
export const commandWords = (): Record<string, string> =>
  Object.fromEntries(process.argv.slice(2).map((word) => [word.split('=')[0] ?? '', word.slice(word.indexOf('=') + 1)]));
