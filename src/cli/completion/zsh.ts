/** Completion for zsh. */
import type { CommandDescription, CommandOption, Completion } from "./description.ts";

/** Returns the completion script for zsh, for a file named _nitro in a directory of fpath. */
export function zshCompletion(commands: readonly CommandDescription[]): string {
  const [launch, ...subcommands] = commands;
  const groups = new Map(subcommands.map(({ group }) => [group.name, group.description]));
  groups.delete("");
  const described = [...groups, ...subcommands.map(({ name, description }) => [name, description] as const)];
  const launchOptions = launch?.options.filter(({ properties }) => properties.length > 0) ?? [];
  const cases = subcommands.map((command) => `    ${quoted(command.name)})\n${argumentsCall(command)} ;;\n`);
  return `#compdef nitro
# Completion of nitro for zsh, generated from its option table.

${launchOptions.map(propertyFunction).join("\n")}
_nitro() {
  local command=$words[2]
  local -a commands=(
${described.map(([name, text]) => `    ${quoted(`${name.replace(/^.* /, "")}:${text}`)}`).join("\n")}
  )
  local -A words_of=(
    nitro ${quoted(wordsAfter(subcommands, ""))}
${[...groups.keys()].map((group) => `    ${quoted(group)} ${quoted(wordsAfter(subcommands, `${group} `))}`).join("\n")}
  )
  local depth=2
  if [[ $command == -* ]]; then
    command=""
  elif (( CURRENT == 2 )); then
    _nitro_commands $words_of[nitro] && return
  elif [[ -n $words_of[$command] ]]; then
    (( CURRENT == 3 )) && { _nitro_commands $words_of[$command]; return }
    command="$command $words[3]"
    depth=3
  fi
  if [[ -n $command ]]; then
    words=(nitro "\${(@)words[depth+1,-1]}")
    (( CURRENT -= depth - 1 ))
  fi
  case $command in
${cases.join("")}    *)
${launch === undefined ? "" : argumentsCall(launch)} ;;
  esac
}

# Completes the words of $1 with their descriptions.
_nitro_commands() {
  local -a found
  local word
  for word in \${=1}; do found+=("\${(@M)commands:#$word:*}"); done
  _describe command found
}

_nitro "$@"
`;
}

/** Returns the commands that can follow `prefix`. */
function wordsAfter(commands: readonly CommandDescription[], prefix: string): string {
  const names = commands
    .filter(({ name }) => name.startsWith(prefix))
    .map(({ name }) => name.slice(prefix.length));
  return [...new Set(names.map((name) => name.split(" ")[0] ?? ""))].join(" ");
}

function argumentsCall({ options, operands }: CommandDescription): string {
  const last = operands.kind === "text" ? [] : [quoted(`*:argument:${action(operands)}`)];
  const specs = [...options.flatMap(optionSpecs), ...last];
  return `      _arguments \\\n${specs.map((spec) => `        ${spec}`).join(" \\\n")}`;
}

/** Returns the _arguments specifications of an option: it may be repeated (*), and has one dash or two. */
function optionSpecs(option: CommandOption): string[] {
  const { name, alias, argument, help, properties } = option;
  const value = properties.length > 0 ? functionName(option) : action(option.completion);
  const rest = argument === undefined ? "" : `:argument:${value}`;
  const names = alias === undefined ? [name] : [name, alias];
  return names
    .flatMap((each) => [`-${each}`, `--${each}`])
    .map((dashed) => quoted(`*${dashed}[${escaped(help)}]${rest}`));
}

function functionName({ name }: CommandOption): string {
  return `_nitro_properties_${name.replaceAll("-", "_")}`;
}

/** Returns a shell function that completes the properties of an option. */
function propertyFunction(option: CommandOption): string {
  const { completion, properties } = option;
  const first = completion.kind === "words" ? completion.words : [];
  const specs = properties.map(
    ({ name, help, completion: value }) => `${name}[${escaped(help)}]:value:${action(value)}`,
  );
  const lines = [...first, ...specs].map((spec) => `    ${quoted(spec)}`);
  return `${functionName(option)}() {\n  _values -s , property \\\n${lines.join(" \\\n")}\n}\n`;
}

function action(completion: Completion): string {
  if (completion.kind === "words")
    return `(${completion.words.map((word) => word.replaceAll(":", "\\:")).join(" ")})`;
  return { file: "_files", directory: "_files -/", text: " " }[completion.kind];
}

function escaped(text: string): string {
  return text.replace(/[[\]:\\]/g, "\\$&");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
