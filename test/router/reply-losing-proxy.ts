import { createConnection, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

/**
 * Stands between a client and its mongod, and cuts the connection when the mongod has answered a request: the request was
 * carried out, and the client does not know.
 */
export class ReplyLosingProxy {
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();
  private losing = { command: '', times: 0, whenLost: async () => {} };
  /** Requests of the command since it is being lost. */
  seen = 0;

  /** @returns the address of the mongod, by way of the proxy */
  async start(uri: string): Promise<string> {
    const url = new URL(uri);
    const port = Number(url.port);
    this.server = createServer((client) => this.join(client, createConnection({ port, host: '127.0.0.1' })));
    await new Promise<void>((resolve) => this.server!.listen(0, '127.0.0.1', resolve));
    url.port = String((this.server.address() as AddressInfo).port);
    url.searchParams.delete('replicaSet');
    url.searchParams.set('directConnection', 'true');
    return url.toString();
  }

  /** Loses the next replies to a command. @param whenLost is waited for before the connection is cut */
  lose(command: string, times: number, whenLost = async () => {}): void {
    this.losing = { command, times, whenLost };
    this.seen = 0;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server?.close(resolve));
  }

  private join(client: Socket, mongod: Socket): void {
    let lost = false;
    for (const socket of [client, mongod]) {
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.sockets.delete(socket);
        client.destroy();
        mongod.destroy();
      });
    }
    client.on('data', (data) => {
      if (this.losing.command !== '' && data.includes(`\x02${this.losing.command}\0`)) {
        this.seen += 1;
        if (this.losing.times > 0) {
          this.losing.times -= 1;
          lost = true;
        }
      }
      mongod.write(data);
    });
    mongod.on('data', (data) => {
      if (!lost) client.write(data);
      else void this.losing.whenLost().then(() => client.destroy());
    });
  }
}
