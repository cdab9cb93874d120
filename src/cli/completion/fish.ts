/** Completion for fish. */
import type { CommandDescription, CommandOption, Completion } from "./description.ts";

/** Returns the completion script for fish. */
export function fishCompletion(commands: readonly CommandDescription[]): string {
  const lines = commands.flatMap((command) => [
    ...commandRows(command),
    ...command.options.map(optionRow(command)),
  ]);
  return `# Completion of nitro for fish, generated from its option table.

# Whether the command line so far begins with the command $argv; a launch has none.
function __nitro_command
    set -l line (string join ' ' -- (commandline -opc)[2..])
    if test -z "$argv"
        test -z "$line"; or string match -q -- '-*' "$line"
    else
        string match -q -- "$argv *" "$line "
    end
end

# Whether the command line so far is the words $argv and nothing else.
function __nitro_words
    set -l line (string join ' ' -- (commandline -opc)[2..])
    test "$line" = "$argv"
end

# Prints the words $argv, each after the part of an argument up to the last comma.
function __nitro_list
    set -l head (string match -r -- '.*,' (commandline -ct))
    for word in $argv
        echo "$head$word"
    end
end

complete -c nitro -f
${[...new Set(lines)].join("\n")}
`;
}

/** Returns the completions of a command's name, word by word (`eif`, then `build`), and of its operands. */
function commandRows({ name, description, operands, group }: CommandDescription): string[] {
  if (name === "") return [];
  const words = name.split(" ");
  const rows = words.map((word, i) => {
    const condition = quoted(`__nitro_words "${words.slice(0, i).join(" ")}"`);
    const text = i === words.length - 1 ? description : group.description;
    return `complete -c nitro -n ${condition} -a ${quoted(word)} -d ${quoted(text)}`;
  });
  return operands.kind === "text"
    ? rows
    : [...rows, `complete -c nitro -n ${when(name)} ${action(operands)}`];
}

function when(command: string): string {
  return quoted(`__nitro_command "${command}"`);
}

function optionRow({ name: command }: CommandDescription): (option: CommandOption) => string {
  return (option) => {
    const { name, alias, argument, help } = option;
    const names = (alias === undefined ? [name] : [name, alias]).map(nameFlags).join(" ");
    const rest = argument === undefined ? "" : ` -r ${argumentAction(option)}`;
    return `complete -c nitro -n ${when(command)} ${names}${rest} -d ${quoted(help)}`;
  };
}

/** Returns fish's flags for an option: -s for -x, -o for -name and -l for --name. */
function nameFlags(name: string): string {
  return name.length === 1 ? `-s ${name}` : `-o ${name} -l ${name}`;
}

function argumentAction({ completion, properties }: CommandOption): string {
  if (properties.length === 0) return action(completion);
  const values = properties.flatMap(({ name, completion: value }) =>
    value.kind === "words" ? value.words.map((word) => `${name}=${word}`) : [`${name}=`],
  );
  const first = completion.kind === "words" ? completion.words : [];
  return `-f -a ${quoted(`(__nitro_list ${[...first, ...values].join(" ")})`)}`;
}

function action(completion: Completion): string {
  if (completion.kind === "file") return "-F";
  if (completion.kind === "directory") return "-f -a '(__fish_complete_directories)'";
  return completion.kind === "words" ? `-f -a ${quoted(completion.words.join(" "))}` : "-f";
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
