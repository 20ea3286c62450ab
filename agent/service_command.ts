/** `service`: agent and user-agent in the hands of the system's own manager of services. */
import { Problem } from "../platform/errors.ts";
import { devicePlatform, type DoctorPlatform, type ServiceStatus } from "../platform/platform.ts";
import { EXIT } from "./exit.ts";
import { UsageError } from "./failure.ts";
import type { Output } from "./output.ts";

/** What can be done with the service. */
export type ServiceAction = "install" | "uninstall" | "status";

/** `status`: 0 both are installed, 4 one is not; else 0. @throws Problem, UsageError */
export async function serviceCommand(
  root: string | undefined,
  action: ServiceAction,
  output: Output,
): Promise<number> {
  if (root !== undefined) {
    throw new UsageError("A device under --root is no service: run its agent by hand.");
  }
  return await runService(await devicePlatform(root), action, output);
}

/** The same on a platform that is given, with the program that runs. */
export async function runService(
  platform: Pick<DoctorPlatform, "os" | "service" | "makeStateFolder">,
  action: ServiceAction,
  output: Output,
  program: { path: string; isOne: boolean } = {
    path: Deno.execPath(),
    isOne: Deno.build.standalone,
  },
): Promise<number> {
  const { service } = platform;
  if (!service) {
    throw new Problem(
      "internal",
      `This version does not install itself as a service on ${platform.os}: its package does.`,
    );
  }
  switch (action) {
    case "install":
      if (!program.isOne) {
        throw new Problem(
          "internal",
          "A service is made of the one binary, and this program runs from source: see 'deno task " +
            "compile'.",
        );
      }
      platform.makeStateFolder();
      await service.install(program.path);
      output.out(`Installed ${program.path} as a service, and started it.\n`);
      return EXIT.done;
    case "uninstall":
      await service.uninstall();
      output.out("The service is not installed any more; what it had set up is left.\n");
      return EXIT.done;
    case "status": {
      const parts = await service.status();
      for (const part of parts) output.out(`${part.name}: ${words(part)}\n`);
      return parts.every(({ installed }) => installed) ? EXIT.done : EXIT.attention;
    }
  }
}

function words({ installed, running }: ServiceStatus): string {
  if (!installed) return "not installed";
  if (running === undefined) return "installed";
  return running ? "running" : "stopped";
}
